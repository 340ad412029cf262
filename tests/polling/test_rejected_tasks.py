"""Tasks whose own requests fail permanently, and tasks whose status cannot be read."""

import json

import anyio
import pytest

from tests.polling.harness import Harness, running
from watcher.core.errors import SourceError, SourceFailure

pytestmark = pytest.mark.anyio

ABOUT_ONE_TASK = [
    SourceError(SourceFailure.REJECTED, "HTTP 422 bad ID"),
    SourceError(SourceFailure.REJECTED, "HTTP 410"),
    SourceError(SourceFailure.FORBIDDEN, "HTTP 403"),
    SourceError(SourceFailure.UNAVAILABLE, "HTTP 500"),
    SourceError(SourceFailure.PROTOCOL, "the answer is longer than 4 MiB"),
]


@pytest.mark.parametrize("error", ABOUT_ONE_TASK, ids=str)
async def test_a_task_that_alone_is_rejected_is_lost_once(
    harness: Harness, error: SourceError
) -> None:
    harness.source.shown |= {"task_1": "IN_PROGRESS", "task_2": "IN_PROGRESS"}
    async with running(harness.poller):
        await harness.watch("task_1", "task_2")
        await anyio.sleep(60)
        harness.source.rejected["task_1"] = error
        await anyio.sleep(590)
        assert "task.lost" not in await harness.types()
        await anyio.sleep(3600)
        harness.source.rejected.clear()
        await anyio.sleep(700)
        assert harness.up() == 1

    types = await harness.types()
    assert types == ["task.in_progress", "task.in_progress", "task.lost", "task.in_progress"]
    lost = json.loads((await harness.events())[2].body)["data"]
    assert lost["task_id"] == "task_1"
    assert str(error) in lost["reason"]


async def test_a_task_alone_on_the_watchlist_can_be_lost(harness: Harness) -> None:
    harness.polling = harness.polling.model_copy(update={"lost_after": 20.0})
    harness.poller = harness.new_poller()
    harness.source.rejected["task_1"] = SourceError(SourceFailure.REJECTED, "x" * 100_000)
    async with running(harness.poller):
        await harness.watch("task_1")
        await anyio.sleep(59)

    assert await harness.types() == ["task.lost"]
    reason = json.loads((await harness.events())[0].body)["data"]["reason"]
    assert len(reason) <= 1000
    assert reason.endswith(" s")


async def test_while_the_source_answers_for_no_task_none_is_lost(harness: Harness) -> None:
    async with running(harness.poller):
        for name in ("task_1", "task_2", "task_3"):
            harness.source.rejected[name] = ABOUT_ONE_TASK[0]
        await harness.watch(*harness.source.rejected)
        await anyio.sleep(3600)

    assert await harness.types() == ["source.unreachable"]


async def test_a_task_without_a_readable_status_is_logged_once_and_lost(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.source.shown["task_2"] = "IN_PROGRESS"
    harness.source.unreadable = {"task_1"}
    async with running(harness.poller):
        await harness.watch("task_1", "task_2")
        await anyio.sleep(1200)

    assert await harness.types() == ["task.in_progress", "task.lost"]
    assert sum("'task_1'" in record.message for record in caplog.records) == 1
