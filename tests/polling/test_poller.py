"""When tasks are polled, and what is stored."""

import itertools
import json
from collections import Counter
from pathlib import Path

import anyio
import pytest

from tests.polling.harness import Harness, names, running
from tests.support.stores import FullDisk, SlowDisk, opened
from tests.support.virtual_time import attentive, wall
from watcher.core.log_fields import ABOUT
from watcher.core.tasks import TaskKey, WatchState
from watcher.polling.poll_loops import IN_FLIGHT

pytestmark = pytest.mark.anyio

LEVELS = ("DEBUG", "INFO")


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
            assert len(harness.source.polls) == IN_FLIGHT["single"]
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


async def test_each_transition_is_one_line_and_each_poll_another(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "watcher.polling")
    harness.source.shown["task_1"] = "PENDING"
    async with running(harness.poller):
        await harness.watch("task_1")
        await anyio.sleep(10)
        harness.source.shown["task_1"] = "COMPLETED"
        await anyio.sleep(60)

    lines = {level: [one for one in caplog.records if one.levelname == level] for level in LEVELS}
    assert [one.message for one in lines["INFO"]] == [
        "task_1 first seen PENDING → backend",
        "task_1 PENDING → COMPLETED (10 s) → backend",
    ]
    events = [one.event_id for one in await harness.events()]
    assert [getattr(one, ABOUT) for one in lines["INFO"]] == [
        {"source": "mixpeek", "task_id": "task_1", "event_id": event_id} for event_id in events
    ]
    assert len(lines["DEBUG"]) == len(harness.source.polls)
    assert {one.message for one in lines["DEBUG"]} == {
        "polled task 'task_1': PENDING",
        "polled task 'task_1': COMPLETED",
    }


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
    async for watches in harness.store.active_watches({"mixpeek": None}):
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

    assert await harness.types() == ["source.unreachable", "task.completed", "source.recovered"]
    assert [record.exc_info is not None for record in caplog.records].count(True) == 1
    labels = {"component": "poller"}
    failed = [at for at, _ in harness.source.polls if at < 300]
    assert harness.metrics.registry.get_sample_value(
        "watcher_unexpected_errors_total", labels
    ) == len(failed)


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
    assert (sent["terminal"], sent["reason"].startswith("PENDING for 1 h")) == (False, True)


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
