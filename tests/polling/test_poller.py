"""The first half of the harness in virtual time, with a scripted source and the real store."""

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
from tests.support.stores import FullDisk, SlowDisk, opened, system_events
from tests.support.virtual_time import VirtualLoop, attentive, wall
from watcher.core.clock import parse_rfc3339
from watcher.core.errors import SourceError, SourceFailure
from watcher.core.events import StoredEvent, event_type
from watcher.core.routing import Routing
from watcher.core.settings import PollingSettings, RouteSettings
from watcher.core.tasks import Answer, TaskKey, TaskNotFound, WatchState
from watcher.core.wakeup import Wakeup
from watcher.polling.context import PollingContext
from watcher.polling.poller import IN_FLIGHT, Poller
from watcher.polling.stalled import allowed
from watcher.telemetry.metrics import Metrics

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


class ScriptedSource:
    """Shows what a test sets; `trouble` is raised instead while it is set. `spacing` is a budget:
    seconds a request.
    """

    shared = None
    calls: Any = None
    capacity = 1

    def __init__(self) -> None:
        self.single = self
        self.shown: dict[str, str] = {}
        self.trouble: Exception | None = None
        self.spacing = 0.0
        self.takes = 0.01
        self.polls: list[tuple[float, str]] = []
        self._free_at = 0.0

    def wait(self) -> float:
        return max(self._free_at - anyio.current_time(), 0.0)

    async def admit(self) -> None:
        await anyio.sleep_until(self._free_at)
        self._free_at = max(self._free_at, anyio.current_time()) + self.spacing

    async def fetch(self, task_ids: Sequence[str]) -> AsyncGenerator[Sequence[Answer], None]:
        self.polls += [(anyio.current_time(), task_id) for task_id in task_ids]
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
        return [at for at, polled in self.polls if polled == task_id]


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
            self.source,
            PollingContext(
                source_name="mixpeek",
                store=self.store,
                routing=routing,
                system_event=system_events(routing),
                polling=self.polling,
                unreachable_after=60.0,
                metrics=self.metrics.source("mixpeek"),
                outbox=self.outbox,
                wall=lambda: wall() + self.slip,
                random=Random(11),
            ),
        )

    async def watch(self, *task_ids: str, **labels: str) -> None:
        added = await self.store.add([request(task_id, **labels) for task_id in task_ids], wall())
        self.poller.track(watch for watch in added.watches if watch.key in added.reactivated)

    async def events(self) -> list[StoredEvent]:
        return list(await self.store.events_after(0, 100_000))

    async def transitions(
        self, task_id: str = "task_1"
    ) -> list[tuple[str | None, str | None, int | None]]:
        events = await self.store.transitions(TaskKey("mixpeek", task_id))
        return [(one.previous_status, one.status, one.sequence) for one in events]

    async def types(self) -> list[str]:
        return [one.type for one in await self.events()]

    def up(self) -> float | None:
        return self.metrics.registry.get_sample_value("watcher_source_up", {"source": "mixpeek"})


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
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


async def test_answers_that_wait_for_the_store_hold_back_polls(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        disk = SlowDisk(attentive(store))
        harness = Harness(store)
        harness.store = disk
        harness.poller = harness.new_poller()
        harness.source.shown = dict.fromkeys(names(200), "PENDING")
        await harness.watch(*names(200))
        async with running(harness.poller):
            await anyio.sleep(20)
            assert len(harness.source.polls) == IN_FLIGHT
            disk.free.set()
            await anyio.sleep(20)
            assert {task_id for _, task_id in harness.source.polls} == {*names(200)}
        assert len(await harness.events()) == 200


async def test_a_new_watch_is_polled_within_a_second(harness: Harness) -> None:
    harness.source.shown["task_1"] = "PENDING"
    async with running(harness.poller):
        await anyio.sleep(100)
        await harness.watch("task_1")
        await anyio.sleep(1)

    assert harness.source.times("task_1")[0] == pytest.approx(100, abs=0.1)
    assert await harness.transitions() == [(None, "PENDING", 1)]


async def test_unchanged_tasks_are_polled_less_and_less_often_up_to_the_longest_interval(
    harness: Harness,
) -> None:
    harness.source.shown["task_1"] = "IN_PROGRESS"
    async with running(harness.poller):
        await harness.watch("task_1")
        await anyio.sleep(600)

    times = harness.source.times("task_1")
    delays = [later - earlier for earlier, later in itertools.pairwise(times)]
    for delay, interval in zip(delays, [1, 2, 4, 8, 16, 30, 30, 30, 30], strict=False):
        assert interval / 2 <= delay <= interval + 0.1
    assert len(await harness.events()) == 1


async def test_a_change_starts_the_interval_again_and_the_end_ends_it(harness: Harness) -> None:
    harness.source.shown["task_1"] = "PENDING"
    async with running(harness.poller):
        await harness.watch("task_1")
        await anyio.sleep(120)
        harness.source.shown["task_1"] = "IN_PROGRESS"
        await anyio.sleep(30)
        changed_at = (await harness.events())[-1].at - wall() + anyio.current_time()
        following = [at - changed_at for at in harness.source.times("task_1") if at > changed_at]
        assert following[0] <= 1.1
        harness.source.shown["task_1"] = "COMPLETED"
        await anyio.sleep(31)
        count = len(harness.source.polls)
        await anyio.sleep(3600)

    assert len(harness.source.polls) == count
    assert await harness.transitions() == [
        (None, "PENDING", 1),
        ("PENDING", "IN_PROGRESS", 2),
        ("IN_PROGRESS", "COMPLETED", 3),
    ]
    assert (await harness.store.find("task_1"))[0].state is WatchState.DONE


async def test_statuses_that_are_not_a_run_are_polled_slowly(harness: Harness) -> None:
    harness.source.shown["task_1"] = "INTERRUPTED"
    async with running(harness.poller):
        await harness.watch("task_1")
        await anyio.sleep(300)

    times = harness.source.times("task_1")
    assert all(later - earlier >= 15 for earlier, later in itertools.pairwise(times))


async def test_a_status_unknown_to_the_watcher_is_sent_and_polled_on(harness: Harness) -> None:
    harness.source.shown["task_1"] = "RE-INDEXING"
    async with running(harness.poller):
        await harness.watch("task_1")
        await anyio.sleep(10)

    assert await harness.types() == ["task.re_indexing"]
    assert len(harness.source.polls) > 2


async def test_with_a_short_budget_the_newest_is_polled_first(harness: Harness) -> None:
    for name in names(40):
        harness.source.shown[name] = "PENDING"
    harness.source.spacing = 6.0
    async with running(harness.poller):
        await harness.watch(*names(30))
        await anyio.sleep(20)
        await harness.watch("task_40")
        await anyio.sleep(7)

    assert harness.source.polls[-1][1] == "task_40"


async def test_no_task_starves_with_a_short_budget(harness: Harness) -> None:
    for name in names(20):
        harness.source.shown[name] = "PENDING"
    harness.source.spacing = 6.0
    async with running(harness.poller):
        await harness.watch(*names(20))
        await anyio.sleep(20 * 6 * 5)

    counts = Counter(task_id for _, task_id in harness.source.polls)
    assert min(counts.values()) >= 3
    assert len(counts) == 20


async def test_a_restart_spreads_the_first_polls_over_the_longest_interval(
    harness: Harness,
) -> None:
    for name in names(300):
        harness.source.shown[name] = "PENDING"
    harness.source.takes = 0.0
    await harness.watch(*names(300))
    restarted = harness.new_poller()
    async for watches in harness.store.active_watches():
        restarted.restore(watches)
    async with running(restarted):
        await anyio.sleep(30.1)

    first = [harness.source.times(name)[0] for name in names(300)]
    for second in range(30):
        assert sum(second <= at < second + 1 for at in first) <= 30


async def test_a_day_of_polling(harness: Harness) -> None:
    statuses = ["PENDING", "QUEUED", "IN_PROGRESS", "PROCESSING", "COMPLETED"]
    async with running(harness.poller):
        for name in names(5):
            harness.source.shown[name] = "PENDING"
        await harness.watch(*names(5))
        for status in statuses:
            for name in names(5):
                harness.source.shown[name] = status
            await anyio.sleep(86400 / len(statuses))

    for name in names(5):
        assert [sequence for _, _, sequence in await harness.transitions(name)] == [1, 2, 3, 4, 5]
    polls_per_task = len(harness.source.polls) / 5
    assert 86400 * 0.8 / 30 <= polls_per_task <= 86400 * 0.8 / 15 + 60


# A task that upstream does not know


async def test_a_task_may_appear_late(harness: Harness) -> None:
    async with running(harness.poller):
        await harness.watch("task_1")
        await anyio.sleep(300)
        harness.source.shown["task_1"] = "IN_PROGRESS"
        await anyio.sleep(40)

    assert await harness.types() == ["task.in_progress"]


async def test_a_task_missing_for_too_long_is_reported_lost_once_and_polled_every_ten_minutes(
    harness: Harness,
) -> None:
    harness.source.shown["task_1"] = "IN_PROGRESS"
    async with running(harness.poller):
        await harness.watch("task_1", team="search")
        await anyio.sleep(60)
        del harness.source.shown["task_1"]
        await anyio.sleep(590)
        assert await harness.types() == ["task.in_progress"]
        await anyio.sleep(60)
        assert await harness.types() == ["task.in_progress", "task.lost"]
        count = len(harness.source.polls)
        await anyio.sleep(3600)
        assert 6 <= len(harness.source.polls) - count <= 13

    assert await harness.types() == ["task.in_progress", "task.lost"]
    lost = (await harness.events())[-1]
    assert (lost.status, lost.sequence) == ("IN_PROGRESS", 1)
    assert b'"reason":"upstream has answered 404' in lost.body
    assert b'"team":"search"' in lost.body


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
async def test_a_clock_that_jumps_makes_no_task_lost_or_stalled_and_delays_neither_for_long(
    tmp_path: Path, jump: float
) -> None:
    async with opened(tmp_path) as store:
        harness = Harness(store, lost_after="10m", stalled_after={"*": "30m"})
        harness.source.shown = {"task_1": "PENDING", **dict.fromkeys(names(9)[1:], "IN_PROGRESS")}
        await harness.watch(*names(9))
        async with running(harness.poller):
            await anyio.sleep(30)
            del harness.source.shown["task_1"]
            await anyio.sleep(120)
            harness.slip = jump
            await anyio.sleep(360)
            types = await harness.types()
            assert "task.lost" not in types
            assert "task.stalled" not in types
            await anyio.sleep(7 * 60)
            assert (await harness.types()).count("task.lost") == 1
            await anyio.sleep(90 * 60)
            assert (await harness.types()).count("task.stalled") == 8


async def test_a_lost_task_that_reappears_is_sent_even_with_the_status_it_had(
    harness: Harness,
) -> None:
    harness.source.shown["task_1"] = "IN_PROGRESS"
    async with running(harness.poller):
        await harness.watch("task_1")
        await anyio.sleep(60)
        del harness.source.shown["task_1"]
        await anyio.sleep(700)
        harness.source.shown["task_1"] = "IN_PROGRESS"
        await anyio.sleep(700)

    assert await harness.types() == ["task.in_progress", "task.lost", "task.in_progress"]
    assert (await harness.transitions())[-1] == ("IN_PROGRESS", "IN_PROGRESS", 2)


async def test_one_that_is_seen_again_in_time_was_never_lost(harness: Harness) -> None:
    harness.source.shown["task_1"] = "IN_PROGRESS"
    async with running(harness.poller):
        await harness.watch("task_1")
        for _ in range(4):
            await anyio.sleep(60)
            del harness.source.shown["task_1"]
            await anyio.sleep(400)
            harness.source.shown["task_1"] = "IN_PROGRESS"

    assert await harness.types() == ["task.in_progress"]


async def test_where_most_tasks_are_unknown_the_source_is_wrong_and_none_is_lost(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(harness.poller):
        for name in names(6):
            harness.source.shown[name] = "IN_PROGRESS"
        await harness.watch(*names(6))
        await anyio.sleep(60)
        shown, harness.source.shown = harness.source.shown, {}
        await anyio.sleep(3600)
        assert harness.up() == 0
        assert harness.poller.reason is SourceFailure.NOT_FOUND
        harness.source.shown = shown
        await anyio.sleep(60)
        assert harness.up() == 1

    assert "task.lost" not in await harness.types()
    assert sum("reason not_found" in record.message for record in caplog.records) == 1


async def test_the_source_is_suspect_at_the_latest_when_a_task_would_be_lost(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as store:
        harness = Harness(store, lost_after=5.0)
        async with running(harness.poller):
            await harness.watch(*names(6))
            await anyio.sleep(4)
            assert harness.up() == 1
            await anyio.sleep(16)
            assert harness.up() == 0
            harness.source.shown = dict.fromkeys(names(6), "IN_PROGRESS")
            await anyio.sleep(31)
            assert harness.up() == 1
        types = await harness.types()

    assert "task.lost" not in types
    assert [kind for kind in types if kind.startswith("source")] == [
        "source.unreachable",
        "source.recovered",
    ]


async def test_once_the_source_is_right_again_missing_tasks_get_their_full_time(
    harness: Harness,
) -> None:
    async with running(harness.poller):
        for name in names(6):
            harness.source.shown[name] = "IN_PROGRESS"
        await harness.watch(*names(6))
        await anyio.sleep(60)
        shown, harness.source.shown = harness.source.shown, {}
        await anyio.sleep(3600)
        harness.source.shown = {name: status for name, status in shown.items() if name != "task_1"}
        await anyio.sleep(500)
        assert "task.lost" not in await harness.types()
        await anyio.sleep(300)

    assert (await harness.types()).count("task.lost") == 1


# Upstream's trouble


@pytest.mark.parametrize(
    "reason", [SourceFailure.TIMEOUT, SourceFailure.CONNECT, SourceFailure.UNAVAILABLE]
)
async def test_an_upstream_that_is_down_is_said_once_probed_rarely_and_caught_up_with(
    harness: Harness, caplog: pytest.LogCaptureFixture, reason: SourceFailure
) -> None:
    async with running(harness.poller):
        for name in names(50):
            harness.source.shown[name] = "IN_PROGRESS"
        await harness.watch(*names(50))
        await anyio.sleep(300)
        harness.source.trouble = SourceError(reason, "no answer")
        await anyio.sleep(120)
        assert harness.up() == 0
        count = len(harness.source.polls)
        await anyio.sleep(3600)
        assert len(harness.source.polls) - count <= 3600 / 30 + 1
        for name in names(50):
            harness.source.shown[name] = "COMPLETED"
        harness.source.trouble = None
        await anyio.sleep(35)
        assert harness.up() == 1

    types = await harness.types()
    assert types.count("task.completed") == 50
    assert [kind for kind in types if kind.startswith("source")] == [
        "source.unreachable",
        "source.recovered",
    ]
    assert sum("is down" in record.message for record in caplog.records) == 1
    assert len(caplog.records) < 10


async def test_the_events_of_a_source_that_is_down(harness: Harness) -> None:
    async with running(harness.poller):
        harness.source.shown["task_1"] = "IN_PROGRESS"
        await harness.watch("task_1")
        await anyio.sleep(100)
        harness.source.trouble = SourceError(SourceFailure.TIMEOUT, "no answer")
        began = wall()
        await anyio.sleep(200)

    sent = json.loads((await harness.events())[-1].body)["data"]
    since = parse_rfc3339(sent.pop("since"))
    assert sent == {"source": "mixpeek", "reason": "timeout", "active_watches": 1}
    assert began <= since <= began + 31


async def test_a_restart_neither_repeats_nor_forgets_that_a_source_is_down(
    harness: Harness,
) -> None:
    harness.source.shown["task_1"] = "IN_PROGRESS"
    harness.source.trouble = SourceError(SourceFailure.CONNECT, "no answer")
    async with running(harness.poller):
        await harness.watch("task_1")
        await anyio.sleep(300)
    for seconds in (300, 30):
        harness.poller = harness.new_poller()
        async for watches in harness.store.active_watches():
            harness.poller.restore(watches)
        async with running(harness.poller):
            await anyio.sleep(seconds)
    assert await harness.types() == ["source.unreachable"]

    harness.source.trouble = None
    harness.poller = harness.new_poller()
    async for watches in harness.store.active_watches():
        harness.poller.restore(watches)
    async with running(harness.poller):
        await anyio.sleep(35)
    assert await harness.types() == ["source.unreachable", "task.in_progress", "source.recovered"]


async def test_a_bad_key_takes_the_source_down_at_once_in_one_clear_line(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.source.trouble = SourceError(SourceFailure.UNAUTHORIZED, "HTTP 401")
    async with running(harness.poller):
        await harness.watch(*names(3))
        await anyio.sleep(1)
        assert harness.up() == 0
        await anyio.sleep(600)

    assert len(harness.source.polls) <= 3 + 600 / 30 + 1
    assert [record.message for record in caplog.records] == [
        "source 'mixpeek' rejects the API key (HTTP 401); set a valid api_key"
    ]


async def test_a_forbidden_task_among_others_is_no_trouble_of_the_source(harness: Harness) -> None:
    class Partly(ScriptedSource):
        async def fetch(self, task_ids: Sequence[str]) -> AsyncGenerator[Sequence[Answer], None]:
            if task_ids[0] == "task_1":
                raise SourceError(SourceFailure.FORBIDDEN, "HTTP 403")
            async for answers in super().fetch(task_ids):
                yield answers

    harness.source = Partly()
    harness.source.shown["task_2"] = "IN_PROGRESS"
    harness.poller = harness.new_poller()
    async with running(harness.poller):
        await harness.watch("task_1", "task_2")
        await anyio.sleep(600)
        assert harness.up() == 1


async def test_a_source_that_only_limits_the_rate_stays_up(harness: Harness) -> None:
    harness.source.trouble = SourceError(SourceFailure.RATE_LIMITED, "HTTP 429", retry_after=1.0)
    async with running(harness.poller):
        await harness.watch(*names(3))
        await anyio.sleep(600)
        assert harness.up() == 1


async def test_an_unexpected_error_is_logged_once_and_survived(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.source.trouble = KeyError("bug")
    async with running(harness.poller):
        await harness.watch("task_1")
        await anyio.sleep(300)
        harness.source.trouble = None
        harness.source.shown["task_1"] = "COMPLETED"
        await anyio.sleep(40)

    assert await harness.types() == ["task.completed"]
    assert len(caplog.records) == 1


# Overdue tasks


async def test_a_task_unchanged_for_too_long_is_reported_once_until_it_changes(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as store:
        harness = Harness(store, stalled_after={"*": "1h", "api_y*": None})
        harness.source.shown["task_1"] = "PENDING"
        async with running(harness.poller):
            await harness.watch("task_1")
            await anyio.sleep(3600)
            assert await harness.types() == ["task.pending"]
            await anyio.sleep(90)
            assert await harness.types() == ["task.pending", "task.stalled"]
            await anyio.sleep(20_000)
            harness.source.shown["task_1"] = "IN_PROGRESS"
            await anyio.sleep(3700)
            harness.source.shown["task_1"] = "COMPLETED"
            await anyio.sleep(10_000)

        events = await harness.events()
    assert [(one.type, one.previous_status, one.status, one.sequence) for one in events] == [
        ("task.pending", None, "PENDING", 1),
        ("task.stalled", "PENDING", "PENDING", 1),
        ("task.in_progress", "PENDING", "IN_PROGRESS", 2),
        ("task.stalled", "IN_PROGRESS", "IN_PROGRESS", 2),
        ("task.completed", "IN_PROGRESS", "COMPLETED", 3),
    ]
    sent = json.loads(events[1].body)["data"]
    assert (sent["terminal"], sent["reason"].startswith("PENDING for 36")) == (False, True)


async def test_a_restart_neither_repeats_nor_forgets_that_a_task_is_stalled(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        harness = Harness(store, stalled_after={"*": "1h"})
        harness.source.shown |= {"task_1": "PENDING", "task_2": "PENDING"}
        async with running(harness.poller):
            await harness.watch("task_1")
            await anyio.sleep(1800)
            await harness.watch("task_2")
            await anyio.sleep(2000)
        restarted = harness.new_poller()
        async for watches in harness.store.active_watches():
            restarted.restore(watches)
        async with running(restarted):
            await anyio.sleep(4000)
        sent = [one async for one in stalled_tasks(harness)]
    assert sent == ["task_1", "task_2"]


async def stalled_tasks(harness: Harness) -> AsyncIterator[str]:
    for event in await harness.events():
        if event.type == "task.stalled":
            yield json.loads(event.body)["data"]["task_id"]


@pytest.mark.parametrize("status", ["DRAFT", "INTERRUPTED", "SOMETHING_NEW"])
async def test_what_does_not_run_is_never_stalled(tmp_path: Path, status: str) -> None:
    async with opened(tmp_path) as store:
        harness = Harness(store, stalled_after={"*": "1h"})
        harness.source.shown["task_1"] = status
        async with running(harness.poller):
            await harness.watch("task_1")
            await anyio.sleep(10_000)
        assert "task.stalled" not in await harness.types()


async def test_while_upstream_does_not_answer_no_one_is_called_stalled(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        harness = Harness(store, stalled_after={"*": "1h"})
        harness.source.shown["task_1"] = "PENDING"
        async with running(harness.poller):
            await harness.watch("task_1")
            await anyio.sleep(1000)
            harness.source.trouble = SourceError(SourceFailure.CONNECT, "no answer")
            await anyio.sleep(10_000)
            assert "task.stalled" not in await harness.types()
            harness.source.trouble = None
            harness.source.shown["task_1"] = "COMPLETED"
            await anyio.sleep(300)
        assert "task.stalled" not in await harness.types()


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
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    disk = FullDisk(harness.store)
    harness.store = disk
    harness.poller = harness.new_poller()
    harness.source.shown["task_1"] = "FAILED"
    disk.full = True
    async with running(harness.poller):
        await harness.watch("task_1")
        await anyio.sleep(300)
        disk.full = False
        await anyio.sleep(40)

    assert await harness.transitions() == [(None, "FAILED", 1)]
    assert len(caplog.records) == 1


async def test_a_watch_removed_while_it_is_polled_leaves_no_event(harness: Harness) -> None:
    harness.source.shown["task_1"] = "IN_PROGRESS"
    harness.source.takes = 5.0
    async with running(harness.poller):
        await harness.watch("task_1")
        await anyio.sleep(1)
        key = TaskKey("mixpeek", "task_1")
        await harness.store.remove(key)
        harness.poller.forget(key)
        await anyio.sleep(60)

    assert await harness.types() == []
    assert len(harness.source.polls) == 1


async def test_labels_merged_while_a_task_is_polled_are_sent(harness: Harness) -> None:
    harness.source.shown["task_1"] = "IN_PROGRESS"
    harness.source.takes = 5.0
    async with running(harness.poller):
        await harness.watch("task_1")
        await anyio.sleep(1)
        await harness.watch("task_1", team="search")
        await anyio.sleep(10)

    (event,) = await harness.events()
    assert b'"labels":{"team":"search"}' in event.body


async def test_the_last_and_the_next_poll_are_known(harness: Harness) -> None:
    harness.source.shown["task_1"] = "IN_PROGRESS"
    key = TaskKey("mixpeek", "task_1")
    assert harness.poller.times(key) == (None, None)
    async with running(harness.poller):
        await harness.watch("task_1")
        await anyio.sleep(100)
        polled_at, next_poll_at = harness.poller.times(key)
        assert polled_at is not None
        assert next_poll_at is not None
        assert polled_at <= wall() <= next_poll_at <= polled_at + 31
    assert harness.poller.counts() == {"IN_PROGRESS": 1}


async def test_the_loop_beats_while_it_waits(harness: Harness) -> None:
    harness.source.spacing = 1000.0
    async with running(harness.poller):
        await harness.watch("task_1", "task_2")
        for _ in range(100):
            await anyio.sleep(15)
            assert not any(pulse.late() for pulse in harness.poller.monitors.values())


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
        harness = Harness(store)
        async with running(harness.poller):
            await harness.watch("task_1")
            for status, wait in history:
                harness.source.trouble = (
                    SourceError(SourceFailure.CONNECT, "no answer") if status == "down" else None
                )
                if status is None:
                    harness.source.shown.pop("task_1", None)
                elif status != "down":
                    harness.source.shown["task_1"] = status
                await anyio.sleep(wait)
        events = await harness.events()

    sent = [
        (one.previous_status, one.status, one.sequence) for one in events if one.type in TRANSITIONS
    ]
    lost = [one.sequence for one in events if one.type == "task.lost"]
    assert [sequence for _, _, sequence in sent] == list(range(1, len(sent) + 1))
    assert [before for before, _, _ in sent] == [None, *(status for _, status, _ in sent)][
        : len(sent)
    ]
    assert all(
        before != status or sequence - 1 in lost for before, status, sequence in sent if sequence
    )
    assert all(status != "FAILED" for _, status, _ in sent[:-1])
