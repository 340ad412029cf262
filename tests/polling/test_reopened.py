"""Tasks that run again under the same ID."""

import anyio
import pytest

from tests.polling.harness import Harness, running
from watcher.core.tasks import TaskKey, WatchState

pytestmark = pytest.mark.anyio


async def state(harness: Harness) -> WatchState:
    key = TaskKey("mixpeek", "task_1")
    watches = await harness.store.watches([key])
    found: WatchState = watches[key].state
    return found


async def failed(harness: Harness) -> None:
    harness.source.shown["task_1"] = "FAILED"
    await harness.watch("task_1")
    await anyio.sleep(5)
    assert await state(harness) is WatchState.DONE


async def test_the_next_run_continues_the_sequence(harness: Harness) -> None:
    async with running(harness.poller):
        await failed(harness)
        await harness.watch("task_1", again=True)
        await anyio.sleep(60)
        harness.source.shown["task_1"] = "IN_PROGRESS"
        await anyio.sleep(60)
        harness.source.shown["task_1"] = "FAILED"
        await anyio.sleep(60)

    assert await harness.transitions() == [
        (None, "FAILED", 1),
        ("FAILED", "IN_PROGRESS", 2),
        ("IN_PROGRESS", "FAILED", 3),
    ]
    assert await state(harness) is WatchState.DONE


async def test_a_task_that_does_not_run_again_is_done_without_an_event(harness: Harness) -> None:
    async with running(harness.poller):
        await failed(harness)
        await harness.watch("task_1", again=True)
        await anyio.sleep(590)
        assert await state(harness) is WatchState.ACTIVE
        await anyio.sleep(60)
        assert await state(harness) is WatchState.DONE
        polls = len(harness.source.polls)
        await anyio.sleep(600)

    assert len(harness.source.polls) == polls
    assert await harness.types() == ["task.failed"]


async def test_a_restart_continues_to_wait_for_the_next_run(harness: Harness) -> None:
    async with running(harness.poller):
        await failed(harness)
        await harness.watch("task_1", again=True)
        await anyio.sleep(5)
    harness.poller = harness.new_poller()
    async for watches in harness.store.active_watches({"mixpeek": None}):
        harness.poller.restore(watches)
    harness.source.shown["task_1"] = "COMPLETED"
    async with running(harness.poller):
        await anyio.sleep(40)

    assert await harness.transitions() == [(None, "FAILED", 1), ("FAILED", "COMPLETED", 2)]
