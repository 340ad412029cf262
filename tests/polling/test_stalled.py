"""Tasks that do not change for too long."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from tests.polling.harness import Harness, names, running
from tests.support.stores import opened
from watcher.core.errors import SourceError, SourceFailure
from watcher.polling.stalled import allowed

pytestmark = pytest.mark.anyio


async def stalled_tasks(harness: Harness) -> AsyncIterator[str]:
    for event in await harness.events():
        if event.type == "task.stalled":
            yield json.loads(event.body)["data"]["task_id"]


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
        async for watches in harness.store.active_watches({"mixpeek": None}):
            restarted.restore(watches)
        async with running(restarted):
            await anyio.sleep(4000)
        sent = [one async for one in stalled_tasks(harness)]
    assert sent == ["task_1", "task_2"]


@pytest.mark.parametrize("status", ["DRAFT", "INTERRUPTED"])
async def test_what_does_not_run_is_never_stalled(tmp_path: Path, status: str) -> None:
    async with opened(tmp_path) as store:
        harness = Harness(store, stalled_after={"*": "1h"})
        harness.source.shown["task_1"] = status
        async with running(harness.poller):
            await harness.watch("task_1")
            await anyio.sleep(10_000)
        assert "task.stalled" not in await harness.types()


async def test_a_task_with_an_unknown_status_can_stall(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        harness = Harness(store, stalled_after={"*": "1h"})
        harness.source.shown["task_1"] = "SOMETHING_NEW"
        async with running(harness.poller):
            await harness.watch("task_1")
            await anyio.sleep(10_000)
        assert await harness.types() == ["task.something_new", "task.stalled"]


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
