"""Replicas of upstream that disagree: statuses that go back and forth."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from itertools import chain, cycle, repeat

import anyio
import pytest

from tests.polling.harness import Harness, ScriptedSource, running
from tests.support.virtual_time import WALL_EPOCH
from watcher.core.tasks import Answer

pytestmark = pytest.mark.anyio


class Replicas(ScriptedSource):
    """Each request is answered by the next replica."""

    def __init__(self, *statuses: str) -> None:
        super().__init__()
        self.statuses: Iterator[str] = cycle(statuses)

    async def fetch(self, task_ids: Sequence[str]) -> AsyncGenerator[Sequence[Answer], None]:
        self.shown = dict.fromkeys(task_ids, next(self.statuses))
        async for answers in super().fetch(task_ids):
            yield answers


async def test_replicas_that_alternate_are_one_change(harness: Harness) -> None:
    harness.source = Replicas("PENDING", "IN_PROGRESS")
    harness.poller = harness.new_poller()
    async with running(harness.poller):
        await harness.watch("task_1")
        await anyio.sleep(600)
        harness.source.statuses = cycle(["COMPLETED", "IN_PROGRESS"])
        await anyio.sleep(60)

    assert await harness.types() == ["task.pending", "task.in_progress", "task.completed"]


async def test_a_new_status_ends_the_doubt_about_an_earlier_one(harness: Harness) -> None:
    answers = ["PENDING", "IN_PROGRESS", "PENDING", "QUEUED", "PENDING"]
    harness.source = Replicas()
    harness.source.statuses = chain(answers, repeat("QUEUED"))
    harness.poller = harness.new_poller()
    async with running(harness.poller):
        await harness.watch("task_1")
        await anyio.sleep(60)

    assert await harness.types() == ["task.pending", "task.in_progress", "task.queued"]


async def test_a_status_that_stays_back_is_believed_within_seconds(harness: Harness) -> None:
    harness.source.shown["task_1"] = "PENDING"
    async with running(harness.poller):
        await harness.watch("task_1")
        await anyio.sleep(1)
        harness.source.shown["task_1"] = "IN_PROGRESS"
        await anyio.sleep(2)
        harness.source.shown["task_1"] = "PENDING"
        await anyio.sleep(7)

    events = await harness.events()
    assert [one.type for one in events] == ["task.pending", "task.in_progress", "task.pending"]
    first_shown_at = next(at for at in harness.source.times("task_1") if at >= 3)
    assert 2 <= events[-1].at - WALL_EPOCH - first_shown_at <= 3


async def test_a_lost_task_that_returns_is_believed_at_once(harness: Harness) -> None:
    harness.source.shown["task_1"] = "PENDING"
    async with running(harness.poller):
        await harness.watch("task_1")
        await anyio.sleep(20)
        harness.source.shown["task_1"] = "IN_PROGRESS"
        await anyio.sleep(40)
        del harness.source.shown["task_1"]
        await anyio.sleep(700)
        harness.source.shown["task_1"] = "PENDING"
        await anyio.sleep(700)

    assert (await harness.types())[2:] == ["task.lost", "task.pending"]
