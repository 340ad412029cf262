"""For how long no poll has succeeded although one was due, whatever the settings are."""

from pathlib import Path

import anyio
import pytest

from tests.polling.harness import Harness, names, running
from tests.support.stores import opened
from watcher.core.errors import SourceError, SourceFailure

pytestmark = pytest.mark.anyio

HOUR = 3600.0


async def longest(harness: Harness, seconds: float) -> float:
    """Return the longest silence within so many seconds."""
    found = 0.0
    for _ in range(int(seconds / 60)):
        await anyio.sleep(60)
        found = max(found, harness.poller.silent())
    return found


async def test_long_intervals_are_no_silence(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        harness = Harness(store, max_interval=HOUR, multiplier=100)
        harness.source.shown["task_1"] = "IN_PROGRESS"
        async with running(harness.poller):
            assert await longest(harness, HOUR) == 0.0  # nothing is watched
            await harness.watch("task_1")
            assert await longest(harness, 5 * HOUR) == 0.0


async def test_a_lost_task_is_no_silence(harness: Harness) -> None:
    async with running(harness.poller):
        await harness.watch("task_1")
        assert await longest(harness, 3 * HOUR) == 0.0
        assert await harness.types() == ["task.lost"]


async def test_failures_are_silence_until_a_poll_succeeds(harness: Harness) -> None:
    harness.source.shown["task_1"] = "IN_PROGRESS"
    async with running(harness.poller):
        await harness.watch("task_1")
        await anyio.sleep(600)
        harness.source.trouble = SourceError(SourceFailure.UNAVAILABLE, "HTTP 503")
        assert HOUR - 60 <= await longest(harness, HOUR) <= HOUR
        harness.source.trouble = None
        await anyio.sleep(60)
        assert harness.poller.silent() == 0.0


async def test_a_short_budget_makes_polls_late_but_is_no_silence(harness: Harness) -> None:
    harness.source.spacing = 30.0
    for name in names(100):
        harness.source.shown[name] = "IN_PROGRESS"
    async with running(harness.poller):
        await harness.watch(*names(100))
        assert await longest(harness, 2 * HOUR) <= 31.0
        assert harness.poller.behind() > 600
