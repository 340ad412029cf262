"""A thousand tasks a request, and what becomes of a list that cannot be trusted: poller and source, in virtual time."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest
from prometheus_client import CollectorRegistry

from tests.support.fake_upstream import transport
from tests.support.records import request
from tests.support.stores import notices, opened
from tests.support.virtual_time import VirtualLoop, attentive, wall
from watcher.core.routing import Routing
from watcher.core.settings import PollingSettings, RouteSettings
from watcher.core.tasks import TaskKey
from watcher.core.wakeup import Wakeup
from watcher.polling.poller import Poller
from watcher.sources.mixpeek import pagination as paging
from watcher.sources.mixpeek import source as mixpeek
from watcher.sources.mixpeek.list_health import RECHECK_AFTER, FilterState
from watcher.telemetry.metrics import Metrics
from watcher.testing.mixpeek_api import Request
from watcher.testing.mixpeek_server import FakeUpstream

pytestmark = pytest.mark.anyio

GET = "GET /v1/tasks/{task_id}"
LIST = "POST /v1/tasks/list"


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


class Harness:
    """The store, the poller and the real source over an upstream in memory, 50 ms away."""

    def __init__(self, store: Any, *, limit: int | None = None, **polling: Any) -> None:
        self.upstream = FakeUpstream(latency=0.05, limit=limit)
        self.limit = limit
        self.store = attentive(store)
        self.polling = PollingSettings(**polling)
        self.metrics = Metrics(CollectorRegistry(), "test")
        self.source = self.new_source()
        self.poller = self.new_poller()

    def new_source(self) -> mixpeek.MixpeekSource:
        settings = mixpeek.Settings(
            base_url="https://upstream", api_key="sk_made_up", requests_per_minute=self.limit
        )
        metrics = self.metrics.source("mixpeek")
        return mixpeek.create(
            settings, transport=transport(self.upstream), metrics=metrics, wall=wall
        )

    def new_poller(self) -> Poller:
        routing = Routing([RouteSettings(channels=("backend",), initial=True)], ["backend"])
        return Poller(
            source_name="mixpeek",
            source=self.source,
            store=self.store,
            routing=routing,
            notice=notices(routing),
            polling=self.polling,
            unreachable_after=60.0,
            metrics=self.metrics.source("mixpeek"),
            outbox=Wakeup(),
            wall=wall,
            random=Random(5),
        )

    async def watch(self, *task_ids: str) -> None:
        for start in range(0, len(task_ids), 1000):
            added = await self.store.add(
                [request(one) for one in task_ids[start : start + 1000]], wall()
            )
            self.poller.track(watch for watch in added.watches if watch.key in added.reactivated)

    async def types(self) -> list[str]:
        return [one.type for one in await self.store.events_after(0, 1_000_000)]

    async def ended_at(self, task_id: str) -> float:
        events = await self.store.transitions(TaskKey("mixpeek", task_id))
        return float(next(event.at for event in events if event.type == "task.completed"))

    def requests(self, route: str) -> int:
        return self.upstream.requests[route]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Harness]:
    async with opened(tmp_path) as store:
        yield Harness(store)


@asynccontextmanager
async def running(house: Harness) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(house.poller.run)
        yield
        house.poller.close()


def names(count: int) -> list[str]:
    return [f"task_{number}" for number in range(count)]


def show(house: Harness, count: int, status: str = "IN_PROGRESS") -> list[str]:
    for name in names(count):
        house.upstream.set(name, status)
    return names(count)


def trust_of(house: Harness) -> FilterState:
    return house.source.list_health.state


async def follows(house: Harness, task_ids: list[str], within: float = 31.0) -> None:
    """Assert that the end of each is noticed in time."""
    for task_id in task_ids:
        house.upstream.set(task_id, "COMPLETED")
    now = wall()
    await anyio.sleep(within)
    assert [await house.ended_at(one) <= now + within for one in task_ids] == [True] * len(task_ids)


async def test_a_thousand_tasks_are_one_request(house: Harness) -> None:
    async with running(house):
        await house.watch(*show(house, 1000))
        await anyio.sleep(0.5)
        assert (house.requests(LIST), house.requests(GET)) == (1, 0)
        assert len(await house.types()) == 1000
        await anyio.sleep(600)
        assert house.requests(LIST) + house.requests(GET) <= 60
        await follows(house, names(1000))


async def test_few_tasks_are_asked_one_by_one(house: Harness) -> None:
    async with running(house):
        await house.watch(*show(house, 2))
        await anyio.sleep(300)
        assert house.requests(LIST) == 0
        assert house.requests(GET) >= 20
        await follows(house, names(2))


async def test_few_tasks_share_a_request_where_the_budget_for_one_by_one_is_spent(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as store:
        house = Harness(store, limit=10, max_interval=5.0)
        async with running(house):
            await house.watch(*show(house, 3))
            await anyio.sleep(600)
            await follows(house, names(3), within=12.0)
    assert house.requests(LIST) > 0
    assert house.upstream.answered[429] == 0


@pytest.mark.parametrize("mode", ["get", "list"])
async def test_the_mode_says_which_way_is_used(tmp_path: Path, mode: str) -> None:
    async with opened(tmp_path) as store:
        house = Harness(store, mode=mode)
        async with running(house):
            await house.watch(*show(house, 20))
            await anyio.sleep(100)
            await follows(house, names(20))
    assert (house.requests(GET) > 0, house.requests(LIST) > 0) == (mode == "get", mode == "list")


async def test_the_list_is_followed_by_cursor_or_by_offset(house: Harness) -> None:
    house.upstream.api.page_cap = 100
    async with running(house):
        await house.watch(*show(house, 450))
        await anyio.sleep(0.5)
        assert len(await house.types()) == 450
        assert (house.requests(LIST), house.requests(GET)) == (5, 0)
        house.upstream.api.paging = "offset"
        await follows(house, names(450))
    assert house.requests(GET) == 0


async def test_one_that_the_list_leaves_out_is_asked_for_alone(house: Harness) -> None:
    house.upstream.api.hidden = {"task_7"}
    async with running(house):
        await house.watch(*show(house, 100))
        await anyio.sleep(100)
        await follows(house, names(100))
    assert house.upstream.asked.keys() == {"task_7"}
    assert (await house.types()).count("task.lost") == 0


async def test_one_that_only_the_list_shows_is_not_lost(house: Harness) -> None:
    house.upstream.api.unread = {"task_0", "task_7"}
    async with running(house):
        await house.watch(*show(house, 100))
        await anyio.sleep(60)
        for name in names(100)[1:]:
            house.upstream.set(name, "COMPLETED")
        await anyio.sleep(3600)
        await follows(house, ["task_0"])
    assert "task.lost" not in await house.types()
    assert (await house.types()).count("task.completed") == 100


async def test_one_that_neither_shows_is_lost_after_the_time_for_it(house: Harness) -> None:
    async with running(house):
        await house.watch(*show(house, 100))
        await anyio.sleep(60)
        house.upstream.remove("task_7")
        await anyio.sleep(590)
        assert "task.lost" not in await house.types()
        await anyio.sleep(80)
        assert (await house.types()).count("task.lost") == 1
        await anyio.sleep(7200)
        # Missing ones do not fill pages: each would be a GET more.
        assert house.upstream.asked["task_7"] < 60
        house.upstream.set("task_7", "COMPLETED")
        await anyio.sleep(601)
    assert (await house.types()).count("task.completed") == 1


async def test_a_refused_id_is_found_by_halving_and_asked_for_alone(
    house: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    house.upstream.api.refused_ids = {"task_123", "task_321"}
    async with running(house):
        await house.watch(*show(house, 500))
        await anyio.sleep(30)
        assert len(await house.types()) == 500
        halved = house.requests(LIST)
        assert halved < 60
        await anyio.sleep(300)
        assert house.requests(LIST) < halved + 40
        assert house.upstream.asked.keys() == {"task_123", "task_321"}
        await follows(house, names(500))
    assert len([one for one in caplog.records if "task_123" in one.getMessage()]) == 1


@pytest.mark.parametrize("behaviour", ["refused", "ignored", "leaves_out"])
async def test_a_filter_that_does_not_work_is_done_without_and_tried_again(
    house: Harness, behaviour: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    house.upstream.api.id_filter = behaviour
    for number in range(3000):
        house.upstream.set(f"other_{number}", "COMPLETED")
    async with running(house):
        await house.watch(*show(house, 400))
        await anyio.sleep(60)
        assert len(await house.types()) == 400
        assert trust_of(house) is FilterState.SCAN_ALL
        gets = house.requests(GET)
        assert gets <= (400 if behaviour == "leaves_out" else 30)
        await follows(house, names(20))
        await anyio.sleep(3600)
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        house.upstream.api.id_filter = "works"
        await anyio.sleep(RECHECK_AFTER + 40)
        assert trust_of(house) is FilterState.WORKING
        requests = house.requests(LIST)
        await anyio.sleep(300)
        assert house.requests(LIST) - requests <= 60
        await follows(house, names(400)[20:])
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_what_a_sweep_does_not_reach_is_asked_for_alone(house: Harness) -> None:
    house.upstream.api.id_filter = "ignored"
    for number in range(12_000):
        house.upstream.set(f"other_{number}", "IN_PROGRESS")
    async with running(house):
        await house.watch(*show(house, 40))  # beyond the greatest offset
        await anyio.sleep(120)
        assert len(await house.types()) == 40
        house.upstream.api.paging = "offset"
        await follows(house, names(40), within=60)


@pytest.mark.parametrize("status", [403, 404, 405, 501])
async def test_an_upstream_without_a_list_is_asked_one_by_one(
    house: Harness, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    if status == 404:
        house.upstream.api.has_list = False
    else:
        break_list(house, status)
    async with running(house):
        await house.watch(*show(house, 50))
        await anyio.sleep(60)
        assert len(await house.types()) == 50
        await follows(house, names(50))
        assert house.poller.reason is None
    assert len(caplog.records) == 1


def break_list(house: Harness, status: int) -> None:
    """Answer the list with `status`, and nothing else."""
    answer = house.upstream.answer

    async def broken(asked: Request) -> Any:
        if asked.path == "/v1/tasks/list":
            return status, {}, b'{"error": {"message": "no"}}'
        return await answer(asked)

    house.upstream.answer = broken  # type: ignore[method-assign]


async def test_a_list_that_fails_while_tasks_can_be_had_is_no_source_that_is_down(
    house: Harness,
) -> None:
    break_list(house, 500)
    async with running(house):
        await house.watch(*show(house, 50))
        await anyio.sleep(600)
        assert house.poller.reason is None
        assert len(await house.types()) == 50
        await follows(house, names(50))


async def test_pages_that_are_too_large_are_halved(
    house: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "PAGE_BYTES", 20_000)
    async with running(house):
        await house.watch(*show(house, 400))
        await anyio.sleep(10)
        assert len(await house.types()) == 400
    assert house.requests(GET) == 0


async def test_a_list_that_leads_in_a_circle_is_left(house: Harness) -> None:
    answer = house.upstream.answer

    async def circling(asked: Request) -> Any:
        status, headers, body = await answer(asked)
        if asked.path == "/v1/tasks/list":
            body = b'{"results": [], "pagination": {"next_cursor": "round"}}'
        return status, headers, body

    house.upstream.answer = circling  # type: ignore[method-assign]
    async with running(house):
        await house.watch(*show(house, 10))
        await anyio.sleep(60)
        assert len(await house.types()) == 10
        await follows(house, names(10))


async def test_pages_that_overlap_repeat_shrink_or_reorder_conclude_nothing_wrong(
    house: Harness,
) -> None:
    """Each page is cut from a list that was shuffled since the page before."""
    house.upstream.api.page_cap = 50
    random = Random(9)
    answer = house.upstream.answer

    async def shuffling(asked: Request) -> Any:
        tasks = list(house.upstream.api.tasks.items())
        random.shuffle(tasks)
        house.upstream.api.tasks = dict(tasks)
        return await answer(asked)

    house.upstream.answer = shuffling  # type: ignore[method-assign]
    async with running(house):
        await house.watch(*show(house, 200))
        await anyio.sleep(120)
        types = await house.types()
        assert types == ["task.in_progress"] * 200
        house.upstream.api.id_filter = "ignored"
        await anyio.sleep(60)
        await follows(house, names(200), within=60)
    assert sorted(await house.types()) == ["task.completed"] * 200 + ["task.in_progress"] * 200


async def test_a_ten_minute_outage_is_one_event_each_way_and_what_ended_meanwhile_is_told_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with opened(tmp_path) as store:
        house = Harness(store, limit=60)
        answer = house.upstream.answer
        begins = 300.0

        async def down(asked: Request) -> Any:
            if begins <= anyio.current_time() < begins + 600:
                house.upstream.requests["down"] += 1
                return 502, {}, b"<html>Bad Gateway</html>"
            return await answer(asked)

        house.upstream.answer = down  # type: ignore[method-assign]
        async with running(house):
            await house.watch(*show(house, 1000))
            await anyio.sleep(begins)
            caplog.clear()
            for name in names(300):
                house.upstream.set(name, "FAILED")
            await anyio.sleep(600)
            await anyio.sleep(60)
        events = await house.store.events_after(0, 10_000)

    told = {
        kind: [one.at for one in events if one.type == kind]
        for kind in {one.type for one in events}
    }
    assert len(told["source.unreachable"]) == len(told["source.recovered"]) == 1
    returned = wall() - anyio.current_time() + begins + 600
    assert told["source.recovered"][0] - returned <= 35
    assert len(told["task.failed"]) == 300
    assert max(told["task.failed"]) - told["source.recovered"][0] <= 10
    assert house.upstream.requests["down"] <= 90
    assert len(caplog.records) <= 4


@pytest.mark.parametrize("limit", [10, 60])
async def test_thousands_of_tasks_within_the_limit(tmp_path: Path, limit: int) -> None:
    async with opened(tmp_path) as store:
        house = Harness(store, limit=limit)
        house.upstream.tells_limit = True
        async with running(house):
            await house.watch(*show(house, 3000))
            await anyio.sleep(120)
            await follows(house, names(3000)[::100], within=31.0)
            assert house.upstream.answered[429] == 0
            assert house.requests(LIST) <= limit * 2.6


async def test_retry_after_is_kept_to_the_second(house: Harness) -> None:
    times: list[float] = []
    answer = house.upstream.answer

    async def limited(asked: Request) -> Any:
        if asked.path == "/v1/tasks/list":
            times.append(anyio.current_time())
            if len(times) == 3:
                return 429, {"retry-after": "17"}, b"{}"
        return await answer(asked)

    house.upstream.answer = limited  # type: ignore[method-assign]
    async with running(house):
        await house.watch(*show(house, 100))
        await anyio.sleep(60)
    assert 17 <= times[3] - times[2] <= 18
