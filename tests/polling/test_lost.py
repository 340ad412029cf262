"""Missing and lost tasks, and sources that know none of them."""

from pathlib import Path

import anyio
import pytest

from tests.polling.harness import Harness, names, running
from tests.support.stores import opened
from watcher.core.errors import SourceFailure

pytestmark = pytest.mark.anyio


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
