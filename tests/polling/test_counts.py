"""What polling counts for the metrics."""

from typing import Any

import anyio
import pytest

from tests.polling.harness import Harness, running
from watcher.core.errors import SourceError, SourceFailure

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("counts", [True, False])
async def test_an_outage_that_another_replica_has_announced_is_not_counted(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, counts: bool
) -> None:
    record = harness.store.record_outage

    async def announced(*arguments: Any, **keywords: Any) -> bool:
        return await record(*arguments, **keywords) and counts

    monkeypatch.setattr(harness.store, "record_outage", announced, raising=False)
    harness.source.trouble = SourceError(SourceFailure.CONNECT, "no answer")
    async with running(harness.poller):
        await harness.watch("task_1")
        await anyio.sleep(300)
        harness.source.trouble = None
        await anyio.sleep(60)

    assert "source.recovered" in await harness.types()
    for kind in ("source.unreachable", "source.recovered"):
        value = harness.metrics.registry.get_sample_value("watcher_events_total", {"type": kind})
        assert value == (1 if counts else 0)


async def test_transitions_events_and_durations_are_counted(harness: Harness) -> None:
    def counted(name: str, **labels: str) -> float | None:
        return harness.metrics.registry.get_sample_value(f"watcher_{name}", labels)

    await harness.watch("task_1", "task_2", "task_3")
    async with running(harness.poller):
        harness.source.shown = {"task_1": "IN_PROGRESS", "task_2": "COMPLETED"}
        await anyio.sleep(60)
        harness.source.shown["task_1"] = "FAILED"
        await anyio.sleep(60)
        await anyio.sleep(600)

    assert counted("transitions_total", source="mixpeek", status="IN_PROGRESS") == 1
    assert counted("transitions_total", source="mixpeek", status="FAILED") == 1
    assert counted("events_total", type="task.failed") == 1
    assert counted("events_total", type="task.completed") == 1
    assert counted("events_total", type="task.lost") == 1
    kind = {"source": "mixpeek", "task_type": "api_x"}
    assert counted("transitions_by_type_total", **kind, status="FAILED") == 1
    # What had ended before it was first seen took an unknown time.
    assert counted("task_duration_seconds_count", **kind, status="COMPLETED") is None
    assert counted("task_duration_seconds_count", **kind, status="FAILED") == 1
    assert 25 < (counted("task_duration_seconds_sum", **kind, status="FAILED") or 0.0) < 95
