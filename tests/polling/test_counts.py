"""What polling counts for the metrics."""

import anyio
import pytest

from tests.polling.harness import Harness, running

pytestmark = pytest.mark.anyio


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
