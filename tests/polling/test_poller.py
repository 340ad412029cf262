"""The first half of the house in virtual time, with a scripted source and the real store."""

import itertools
import json
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from tests.support.records import observation, request
from tests.support.stores import FullDisk, SlowDisk, notices, opened
from tests.support.virtual_time import VirtualLoop, attentive, wall
from watcher.core.clock import parse_rfc3339
from watcher.core.errors import SourceError, SourceFailure
from watcher.core.events import StoredEvent, event_type
from watcher.core.routing import Routing
from watcher.core.settings import PollingSettings, RouteSettings
from watcher.core.tasks import Answer, TaskKey, TaskNotFound, WatchState
from watcher.core.wakeup import Wakeup
from watcher.polling.poller import IN_FLIGHT, Poller
from watcher.polling.stalled import allowed
from watcher.telemetry.metrics import Metrics

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


class ScriptedSource:
    """Shows what a test sets; `trouble` is raised instead while it is set. `spacing` is a budget: seconds a request."""

    shared = None
    calls: Any = None
    places = 1

    def __init__(self) -> None:
        self.single = self
        self.shown: dict[str, str] = {}
        self.trouble: Exception | None = None
        self.spacing = 0.0
        self.takes = 0.01
        self.asked: list[tuple[float, str]] = []
        self._free_at = 0.0

    def wait(self) -> float:
        return max(self._free_at - anyio.current_time(), 0.0)

    async def admit(self) -> None:
        await anyio.sleep_until(self._free_at)
        self._free_at = max(self._free_at, anyio.current_time()) + self.spacing

    async def fetch(self, task_ids: Sequence[str]) -> AsyncGenerator[Sequence[Answer], None]:
        self.asked += [(anyio.current_time(), task_id) for task_id in task_ids]
        await anyio.sleep(self.takes)
        if self.trouble is not None:
            raise self.trouble
        yield [
            observation(task_id, self.shown[task_id])
            if task_id in self.shown
            else TaskNotFound(task_id=task_id)
            for task_id in task_ids
        ]

    def times(self, task_id: str) -> list[float]:
        return [at for at, asked in self.asked if asked == task_id]


class Harness:
    """A store, a scripted source, and a poller between them."""

    def __init__(self, store: Any, **polling: Any) -> None:
        self.store = attentive(store)
        self.source = ScriptedSource()
        self.outbox = Wakeup()
        self.metrics = Metrics(CollectorRegistry(), "test")
        self.polling = PollingSettings(**polling)
        self.slip = 0.0
        self.poller = self.new_poller()

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
            outbox=self.outbox,
            wall=lambda: wall() + self.slip,
            random=Random(11),
        )

    async def watch(self, *task_ids: str, **labels: str) -> None:
        added = await self.store.add([request(task_id, **labels) for task_id in task_ids], wall())
        self.poller.track(watch for watch in added.watches if watch.key in added.reactivated)

    async def events(self) -> list[StoredEvent]:
        return list(await self.store.events_after(0, 100_000))

    async def told(
        self, task_id: str = "task_1"
    ) -> list[tuple[str | None, str | None, int | None]]:
        events = await self.store.transitions(TaskKey("mixpeek", task_id))
        return [(one.previous_status, one.status, one.sequence) for one in events]

    async def types(self) -> list[str]:
        return [one.type for one in await self.events()]

    def up(self) -> float | None:
        return self.metrics.registry.get_sample_value("watcher_source_up", {"source": "mixpeek"})


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Harness]:
    async with opened(tmp_path) as store:
        yield Harness(store)


@asynccontextmanager
async def running(poller: Poller) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(poller.run)
        yield
        poller.close()


def names(count: int) -> list[str]:
    return [f"task_{number}" for number in range(1, count + 1)]


async def test_answers_that_wait_for_the_store_hold_back_questions(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        disk = SlowDisk(attentive(store))
        house = Harness(store)
        house.store = disk
        house.poller = house.new_poller()
        house.source.shown = dict.fromkeys(names(200), "PENDING")
        await house.watch(*names(200))
        async with running(house.poller):
            await anyio.sleep(20)
            assert len(house.source.asked) == IN_FLIGHT
            disk.free.set()
            await anyio.sleep(20)
            assert {task_id for _, task_id in house.source.asked} == {*names(200)}
        assert len(await house.events()) == 200


async def test_a_new_watch_is_asked_within_a_second(house: Harness) -> None:
    house.source.shown["task_1"] = "PENDING"
    async with running(house.poller):
        await anyio.sleep(100)
        await house.watch("task_1")
        await anyio.sleep(1)

    assert house.source.times("task_1")[0] == pytest.approx(100, abs=0.1)
    assert await house.told() == [(None, "PENDING", 1)]


async def test_unchanged_tasks_are_asked_ever_more_rarely_up_to_the_longest_interval(
    house: Harness,
) -> None:
    house.source.shown["task_1"] = "IN_PROGRESS"
    async with running(house.poller):
        await house.watch("task_1")
        await anyio.sleep(600)

    times = house.source.times("task_1")
    delays = [later - earlier for earlier, later in itertools.pairwise(times)]
    for delay, interval in zip(delays, [1, 2, 4, 8, 16, 30, 30, 30, 30], strict=False):
        assert interval / 2 <= delay <= interval + 0.1
    assert len(await house.events()) == 1


async def test_a_change_starts_the_interval_again_and_the_end_ends_it(house: Harness) -> None:
    house.source.shown["task_1"] = "PENDING"
    async with running(house.poller):
        await house.watch("task_1")
        await anyio.sleep(120)
        house.source.shown["task_1"] = "IN_PROGRESS"
        await anyio.sleep(30)
        changed_at = (await house.events())[-1].at - wall() + anyio.current_time()
        following = [at - changed_at for at in house.source.times("task_1") if at > changed_at]
        assert following[0] <= 1.1
        house.source.shown["task_1"] = "COMPLETED"
        await anyio.sleep(31)
        count = len(house.source.asked)
        await anyio.sleep(3600)

    assert len(house.source.asked) == count
    assert await house.told() == [
        (None, "PENDING", 1),
        ("PENDING", "IN_PROGRESS", 2),
        ("IN_PROGRESS", "COMPLETED", 3),
    ]
    assert (await house.store.find("task_1"))[0].state is WatchState.DONE


async def test_states_that_are_no_run_are_asked_slowly(house: Harness) -> None:
    house.source.shown["task_1"] = "INTERRUPTED"
    async with running(house.poller):
        await house.watch("task_1")
        await anyio.sleep(300)

    times = house.source.times("task_1")
    assert all(later - earlier >= 15 for earlier, later in itertools.pairwise(times))


async def test_a_status_nobody_has_heard_of_is_told_and_polled_on(house: Harness) -> None:
    house.source.shown["task_1"] = "RE-INDEXING"
    async with running(house.poller):
        await house.watch("task_1")
        await anyio.sleep(10)

    assert await house.types() == ["task.re_indexing"]
    assert len(house.source.asked) > 2


async def test_where_the_budget_is_short_the_newest_is_asked_first(house: Harness) -> None:
    for name in names(40):
        house.source.shown[name] = "PENDING"
    house.source.spacing = 6.0
    async with running(house.poller):
        await house.watch(*names(30))
        await anyio.sleep(20)
        await house.watch("task_40")
        await anyio.sleep(7)

    assert house.source.asked[-1][1] == "task_40"


async def test_nobody_starves_where_the_budget_is_short(house: Harness) -> None:
    for name in names(20):
        house.source.shown[name] = "PENDING"
    house.source.spacing = 6.0
    async with running(house.poller):
        await house.watch(*names(20))
        await anyio.sleep(20 * 6 * 5)

    counts = Counter(task_id for _, task_id in house.source.asked)
    assert min(counts.values()) >= 3
    assert len(counts) == 20


async def test_a_restart_spreads_the_first_questions_over_the_longest_interval(
    house: Harness,
) -> None:
    for name in names(300):
        house.source.shown[name] = "PENDING"
    house.source.takes = 0.0
    await house.watch(*names(300))
    restarted = house.new_poller()
    async for watches in house.store.active_watches():
        restarted.restore(watches)
    async with running(restarted):
        await anyio.sleep(30.1)

    first = [house.source.times(name)[0] for name in names(300)]
    for second in range(30):
        assert sum(second <= at < second + 1 for at in first) <= 30


async def test_a_day_of_polling(house: Harness) -> None:
    statuses = ["PENDING", "QUEUED", "IN_PROGRESS", "PROCESSING", "COMPLETED"]
    async with running(house.poller):
        for name in names(5):
            house.source.shown[name] = "PENDING"
        await house.watch(*names(5))
        for status in statuses:
            for name in names(5):
                house.source.shown[name] = status
            await anyio.sleep(86400 / len(statuses))

    for name in names(5):
        assert [sequence for _, _, sequence in await house.told(name)] == [1, 2, 3, 4, 5]
    asked_a_task = len(house.source.asked) / 5
    assert 86400 * 0.8 / 30 <= asked_a_task <= 86400 * 0.8 / 15 + 60


# A task that upstream does not know


async def test_a_task_may_appear_late(house: Harness) -> None:
    async with running(house.poller):
        await house.watch("task_1")
        await anyio.sleep(300)
        house.source.shown["task_1"] = "IN_PROGRESS"
        await anyio.sleep(40)

    assert await house.types() == ["task.in_progress"]


async def test_a_task_missing_for_too_long_is_told_lost_once_and_asked_every_ten_minutes(
    house: Harness,
) -> None:
    house.source.shown["task_1"] = "IN_PROGRESS"
    async with running(house.poller):
        await house.watch("task_1", team="search")
        await anyio.sleep(60)
        del house.source.shown["task_1"]
        await anyio.sleep(590)
        assert await house.types() == ["task.in_progress"]
        await anyio.sleep(60)
        assert await house.types() == ["task.in_progress", "task.lost"]
        count = len(house.source.asked)
        await anyio.sleep(3600)
        assert 6 <= len(house.source.asked) - count <= 13

    assert await house.types() == ["task.in_progress", "task.lost"]
    lost = (await house.events())[-1]
    assert (lost.status, lost.sequence) == ("IN_PROGRESS", 1)
    assert b'"reason":"upstream has answered 404' in lost.body
    assert b'"team":"search"' in lost.body


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
async def test_a_clock_that_jumps_makes_no_task_lost_or_stalled_and_delays_neither_for_long(
    tmp_path: Path, jump: float
) -> None:
    async with opened(tmp_path) as store:
        house = Harness(store, lost_after="10m", stalled_after={"*": "30m"})
        house.source.shown = {"task_1": "PENDING", **dict.fromkeys(names(9)[1:], "IN_PROGRESS")}
        await house.watch(*names(9))
        async with running(house.poller):
            await anyio.sleep(30)
            del house.source.shown["task_1"]
            await anyio.sleep(120)
            house.slip = jump
            await anyio.sleep(360)
            types = await house.types()
            assert "task.lost" not in types
            assert "task.stalled" not in types
            await anyio.sleep(7 * 60)
            assert (await house.types()).count("task.lost") == 1
            await anyio.sleep(90 * 60)
            assert (await house.types()).count("task.stalled") == 8


async def test_a_lost_task_that_reappears_is_told_even_with_the_status_it_had(
    house: Harness,
) -> None:
    house.source.shown["task_1"] = "IN_PROGRESS"
    async with running(house.poller):
        await house.watch("task_1")
        await anyio.sleep(60)
        del house.source.shown["task_1"]
        await anyio.sleep(700)
        house.source.shown["task_1"] = "IN_PROGRESS"
        await anyio.sleep(700)

    assert await house.types() == ["task.in_progress", "task.lost", "task.in_progress"]
    assert (await house.told())[-1] == ("IN_PROGRESS", "IN_PROGRESS", 2)


async def test_one_that_is_seen_again_in_time_was_never_lost(house: Harness) -> None:
    house.source.shown["task_1"] = "IN_PROGRESS"
    async with running(house.poller):
        await house.watch("task_1")
        for _ in range(4):
            await anyio.sleep(60)
            del house.source.shown["task_1"]
            await anyio.sleep(400)
            house.source.shown["task_1"] = "IN_PROGRESS"

    assert await house.types() == ["task.in_progress"]


async def test_where_most_tasks_are_unknown_the_source_is_wrong_and_none_is_lost(
    house: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(house.poller):
        for name in names(6):
            house.source.shown[name] = "IN_PROGRESS"
        await house.watch(*names(6))
        await anyio.sleep(60)
        shown, house.source.shown = house.source.shown, {}
        await anyio.sleep(3600)
        assert house.up() == 0
        assert house.poller.reason is SourceFailure.NOT_FOUND
        house.source.shown = shown
        await anyio.sleep(60)
        assert house.up() == 1

    assert "task.lost" not in await house.types()
    assert sum("reason not_found" in record.message for record in caplog.records) == 1


async def test_the_source_is_blamed_at_the_latest_when_a_task_would_be_lost(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        house = Harness(store, lost_after=5.0)
        async with running(house.poller):
            await house.watch(*names(6))
            await anyio.sleep(4)
            assert house.up() == 1
            await anyio.sleep(16)
            assert house.up() == 0
            house.source.shown = dict.fromkeys(names(6), "IN_PROGRESS")
            await anyio.sleep(31)
            assert house.up() == 1
        types = await house.types()

    assert "task.lost" not in types
    assert [kind for kind in types if kind.startswith("source")] == [
        "source.unreachable",
        "source.recovered",
    ]


async def test_once_the_source_is_right_again_missing_tasks_get_their_full_time(
    house: Harness,
) -> None:
    async with running(house.poller):
        for name in names(6):
            house.source.shown[name] = "IN_PROGRESS"
        await house.watch(*names(6))
        await anyio.sleep(60)
        shown, house.source.shown = house.source.shown, {}
        await anyio.sleep(3600)
        house.source.shown = {name: status for name, status in shown.items() if name != "task_1"}
        await anyio.sleep(500)
        assert "task.lost" not in await house.types()
        await anyio.sleep(300)

    assert (await house.types()).count("task.lost") == 1


# Upstream's trouble


@pytest.mark.parametrize(
    "reason", [SourceFailure.TIMEOUT, SourceFailure.CONNECT, SourceFailure.UNAVAILABLE]
)
async def test_an_upstream_that_is_down_is_said_once_probed_rarely_and_caught_up_with(
    house: Harness, caplog: pytest.LogCaptureFixture, reason: SourceFailure
) -> None:
    async with running(house.poller):
        for name in names(50):
            house.source.shown[name] = "IN_PROGRESS"
        await house.watch(*names(50))
        await anyio.sleep(300)
        house.source.trouble = SourceError(reason, "no answer")
        await anyio.sleep(120)
        assert house.up() == 0
        count = len(house.source.asked)
        await anyio.sleep(3600)
        assert len(house.source.asked) - count <= 3600 / 30 + 1
        for name in names(50):
            house.source.shown[name] = "COMPLETED"
        house.source.trouble = None
        await anyio.sleep(35)
        assert house.up() == 1

    types = await house.types()
    assert types.count("task.completed") == 50
    assert [kind for kind in types if kind.startswith("source")] == [
        "source.unreachable",
        "source.recovered",
    ]
    assert sum("is down" in record.message for record in caplog.records) == 1
    assert len(caplog.records) < 10


async def test_what_is_told_of_a_source_that_is_down(house: Harness) -> None:
    async with running(house.poller):
        house.source.shown["task_1"] = "IN_PROGRESS"
        await house.watch("task_1")
        await anyio.sleep(100)
        house.source.trouble = SourceError(SourceFailure.TIMEOUT, "no answer")
        began = wall()
        await anyio.sleep(200)

    told = json.loads((await house.events())[-1].body)["data"]
    since = parse_rfc3339(told.pop("since"))
    assert told == {"source": "mixpeek", "reason": "timeout", "active_watches": 1}
    assert began <= since <= began + 31


async def test_a_restart_neither_repeats_nor_forgets_that_a_source_is_down(house: Harness) -> None:
    house.source.shown["task_1"] = "IN_PROGRESS"
    house.source.trouble = SourceError(SourceFailure.CONNECT, "no answer")
    async with running(house.poller):
        await house.watch("task_1")
        await anyio.sleep(300)
    for seconds in (300, 30):
        house.poller = house.new_poller()
        async for watches in house.store.active_watches():
            house.poller.restore(watches)
        async with running(house.poller):
            await anyio.sleep(seconds)
    assert await house.types() == ["source.unreachable"]

    house.source.trouble = None
    house.poller = house.new_poller()
    async for watches in house.store.active_watches():
        house.poller.restore(watches)
    async with running(house.poller):
        await anyio.sleep(35)
    assert await house.types() == ["source.unreachable", "task.in_progress", "source.recovered"]


async def test_a_bad_key_takes_the_source_down_at_once_in_one_clear_line(
    house: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    house.source.trouble = SourceError(SourceFailure.UNAUTHORIZED, "HTTP 401")
    async with running(house.poller):
        await house.watch(*names(3))
        await anyio.sleep(1)
        assert house.up() == 0
        await anyio.sleep(600)

    assert len(house.source.asked) <= 3 + 600 / 30 + 1
    assert [record.message for record in caplog.records] == [
        "source 'mixpeek' refuses the API key (HTTP 401); put a valid one in api_key"
    ]


async def test_a_forbidden_task_among_others_is_no_trouble_of_the_source(house: Harness) -> None:
    class Partly(ScriptedSource):
        async def fetch(self, task_ids: Sequence[str]) -> AsyncGenerator[Sequence[Answer], None]:
            if task_ids[0] == "task_1":
                raise SourceError(SourceFailure.FORBIDDEN, "HTTP 403")
            async for answers in super().fetch(task_ids):
                yield answers

    house.source = Partly()
    house.source.shown["task_2"] = "IN_PROGRESS"
    house.poller = house.new_poller()
    async with running(house.poller):
        await house.watch("task_1", "task_2")
        await anyio.sleep(600)
        assert house.up() == 1


async def test_a_source_that_only_asks_for_patience_stays_up(house: Harness) -> None:
    house.source.trouble = SourceError(SourceFailure.RATE_LIMITED, "HTTP 429", retry_after=1.0)
    async with running(house.poller):
        await house.watch(*names(3))
        await anyio.sleep(600)
        assert house.up() == 1


async def test_an_unexpected_error_is_logged_once_and_survived(
    house: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    house.source.trouble = KeyError("bug")
    async with running(house.poller):
        await house.watch("task_1")
        await anyio.sleep(300)
        house.source.trouble = None
        house.source.shown["task_1"] = "COMPLETED"
        await anyio.sleep(40)

    assert await house.types() == ["task.completed"]
    assert len(caplog.records) == 1


# Overdue tasks


async def test_a_task_that_stays_as_it_is_for_too_long_is_told_once_until_it_changes(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as store:
        house = Harness(store, stalled_after={"*": "1h", "api_y*": None})
        house.source.shown["task_1"] = "PENDING"
        async with running(house.poller):
            await house.watch("task_1")
            await anyio.sleep(3600)
            assert await house.types() == ["task.pending"]
            await anyio.sleep(90)
            assert await house.types() == ["task.pending", "task.stalled"]
            await anyio.sleep(20_000)
            house.source.shown["task_1"] = "IN_PROGRESS"
            await anyio.sleep(3700)
            house.source.shown["task_1"] = "COMPLETED"
            await anyio.sleep(10_000)

        events = await house.events()
    assert [(one.type, one.previous_status, one.status, one.sequence) for one in events] == [
        ("task.pending", None, "PENDING", 1),
        ("task.stalled", "PENDING", "PENDING", 1),
        ("task.in_progress", "PENDING", "IN_PROGRESS", 2),
        ("task.stalled", "IN_PROGRESS", "IN_PROGRESS", 2),
        ("task.completed", "IN_PROGRESS", "COMPLETED", 3),
    ]
    told = json.loads(events[1].body)["data"]
    assert (told["terminal"], told["reason"].startswith("PENDING for 36")) == (False, True)


async def test_a_restart_neither_repeats_nor_forgets_that_a_task_is_stalled(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        house = Harness(store, stalled_after={"*": "1h"})
        house.source.shown |= {"task_1": "PENDING", "task_2": "PENDING"}
        async with running(house.poller):
            await house.watch("task_1")
            await anyio.sleep(1800)
            await house.watch("task_2")
            await anyio.sleep(2000)
        restarted = house.new_poller()
        async for watches in house.store.active_watches():
            restarted.restore(watches)
        async with running(restarted):
            await anyio.sleep(4000)
        told = [one async for one in stalled_tasks(house)]
    assert told == ["task_1", "task_2"]


async def stalled_tasks(house: Harness) -> AsyncIterator[str]:
    for event in await house.events():
        if event.type == "task.stalled":
            yield json.loads(event.body)["data"]["task_id"]


@pytest.mark.parametrize("status", ["DRAFT", "INTERRUPTED", "SOMETHING_NEW"])
async def test_what_does_not_run_is_never_stalled(tmp_path: Path, status: str) -> None:
    async with opened(tmp_path) as store:
        house = Harness(store, stalled_after={"*": "1h"})
        house.source.shown["task_1"] = status
        async with running(house.poller):
            await house.watch("task_1")
            await anyio.sleep(10_000)
        assert "task.stalled" not in await house.types()


async def test_while_upstream_does_not_answer_nobody_is_called_stalled(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        house = Harness(store, stalled_after={"*": "1h"})
        house.source.shown["task_1"] = "PENDING"
        async with running(house.poller):
            await house.watch("task_1")
            await anyio.sleep(1000)
            house.source.trouble = SourceError(SourceFailure.CONNECT, "no answer")
            await anyio.sleep(10_000)
            assert "task.stalled" not in await house.types()
            house.source.trouble = None
            house.source.shown["task_1"] = "COMPLETED"
            await anyio.sleep(300)
        assert "task.stalled" not in await house.types()


@pytest.mark.parametrize(
    ("task_type", "limit"),
    [
        ("api_x", 3600.0),
        ("engine_cluster_build", 60.0),
        ("engine_other", None),
        (None, 3600.0),
        ("ENGINE_OTHER", None),
    ],
)
def test_the_longest_pattern_that_matches_a_type_counts(
    task_type: str | None, limit: float | None
) -> None:
    assert allowed({"*": 3600.0, "engine_*": None, "engine_cluster_*": 60.0}, task_type) == limit


def test_without_a_pattern_that_matches_nothing_is_ever_stalled() -> None:
    assert allowed({"api_*": 60.0}, "engine_x") is None


# The store's trouble, and races


async def test_a_change_that_could_not_be_stored_is_found_again(
    house: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    disk = FullDisk(house.store)
    house.store = disk
    house.poller = house.new_poller()
    house.source.shown["task_1"] = "FAILED"
    disk.full = True
    async with running(house.poller):
        await house.watch("task_1")
        await anyio.sleep(300)
        disk.full = False
        await anyio.sleep(40)

    assert await house.told() == [(None, "FAILED", 1)]
    assert len(caplog.records) == 1


async def test_a_watch_removed_while_it_is_asked_leaves_no_event(house: Harness) -> None:
    house.source.shown["task_1"] = "IN_PROGRESS"
    house.source.takes = 5.0
    async with running(house.poller):
        await house.watch("task_1")
        await anyio.sleep(1)
        key = TaskKey("mixpeek", "task_1")
        await house.store.remove(key)
        house.poller.forget(key)
        await anyio.sleep(60)

    assert await house.types() == []
    assert len(house.source.asked) == 1


async def test_labels_merged_while_a_task_is_asked_are_told(house: Harness) -> None:
    house.source.shown["task_1"] = "IN_PROGRESS"
    house.source.takes = 5.0
    async with running(house.poller):
        await house.watch("task_1")
        await anyio.sleep(1)
        await house.watch("task_1", team="search")
        await anyio.sleep(10)

    (event,) = await house.events()
    assert b'"labels":{"team":"search"}' in event.body


async def test_the_last_and_the_next_question_are_known(house: Harness) -> None:
    house.source.shown["task_1"] = "IN_PROGRESS"
    key = TaskKey("mixpeek", "task_1")
    assert house.poller.times(key) == (None, None)
    async with running(house.poller):
        await house.watch("task_1")
        await anyio.sleep(100)
        polled_at, next_poll_at = house.poller.times(key)
        assert polled_at is not None
        assert next_poll_at is not None
        assert polled_at <= wall() <= next_poll_at <= polled_at + 31
    assert house.poller.counts() == {"IN_PROGRESS": 1}


async def test_the_loop_beats_while_it_waits(house: Harness) -> None:
    house.source.spacing = 1000.0
    async with running(house.poller):
        await house.watch("task_1", "task_2")
        for _ in range(100):
            await anyio.sleep(15)
            assert not any(pulse.late() for pulse in house.poller.pulses.values())


TRANSITIONS = {
    event_type(status)
    for status in ("PENDING", "IN_PROGRESS", "QUEUED", "SOMETHING_NEW", "INTERRUPTED", "FAILED")
}
Moment = tuple[str | None, float]
"""What upstream shows from now on (None: nothing), and for how long."""


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    history=st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "PENDING",
                    "IN_PROGRESS",
                    "QUEUED",
                    "SOMETHING_NEW",
                    "INTERRUPTED",
                    "FAILED",
                    "down",
                    None,
                ]
            ),
            st.sampled_from([0.5, 5.0, 45.0, 400.0, 1500.0]),
        ),
        max_size=12,
    )
)
async def test_whatever_upstream_does_sequences_have_no_gap_and_ends_are_ends(
    history: list[Moment], tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with opened(tmp_path_factory.mktemp("history")) as store:
        house = Harness(store)
        async with running(house.poller):
            await house.watch("task_1")
            for status, wait in history:
                house.source.trouble = (
                    SourceError(SourceFailure.CONNECT, "no answer") if status == "down" else None
                )
                if status is None:
                    house.source.shown.pop("task_1", None)
                elif status != "down":
                    house.source.shown["task_1"] = status
                await anyio.sleep(wait)
        events = await house.events()

    told = [
        (one.previous_status, one.status, one.sequence) for one in events if one.type in TRANSITIONS
    ]
    lost = [one.sequence for one in events if one.type == "task.lost"]
    assert [sequence for _, _, sequence in told] == list(range(1, len(told) + 1))
    assert [before for before, _, _ in told] == [None, *(status for _, status, _ in told)][
        : len(told)
    ]
    assert all(
        before != status or sequence - 1 in lost for before, status, sequence in told if sequence
    )
    assert all(status != "FAILED" for _, status, _ in told[:-1])
