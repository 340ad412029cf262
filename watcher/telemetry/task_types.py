"""What is counted by task type: upstream may invent any number of types.

Series exist for what has happened, because most types never have most statuses: exported as 0, they
would be four fifths of a scrape.
"""

from collections.abc import Iterable, Mapping

from prometheus_client.metrics_core import CounterMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from watcher.core.texts import label

OTHER_TASK_TYPE = "other"
TASK_TYPES_SHOWN = 100
"""Task types beyond this number share the label `OTHER_TASK_TYPE`."""

_LABELS = ("source", "task_type", "status")
_BORN_AT_ZERO = ("COMPLETED", "FAILED")
"""Exported as 0 with the first transition of a type, so that its first failure is an increase."""

_Key = tuple[str, str, str]


class TaskTypeMetrics(Collector):
    """Transitions, and the durations of tasks, by source, task type and status."""

    def __init__(self) -> None:
        self._types: set[str] = set()
        self._transitions: dict[_Key, int] = {}
        self._durations: dict[_Key, tuple[int, float]] = {}

    def transitioned(self, source: str, task_type: str | None, status: str) -> None:
        """Count a transition; `status` is a known one or `OTHER`."""
        source, shown = label(source), self._shown(task_type)
        if (source, shown, _BORN_AT_ZERO[0]) not in self._transitions:
            self._transitions |= {(source, shown, born): 0 for born in _BORN_AT_ZERO}
        key = (source, shown, status)
        self._transitions[key] = self._transitions.get(key, 0) + 1

    def ended(self, source: str, task_type: str | None, status: str, seconds: float) -> None:
        """Record that a task ended `seconds` after it was first seen."""
        key = (label(source), self._shown(task_type), status)
        count, total = self._durations.get(key, (0, 0.0))
        self._durations[key] = (count + 1, total + max(seconds, 0.0))

    def remove_by_labels(self, labels: Mapping[str, str]) -> None:
        """Remove the series of a source."""
        source = labels["source"]
        self._transitions = {
            key: count for key, count in self._transitions.items() if key[0] != source
        }
        self._durations = {key: sums for key, sums in self._durations.items() if key[0] != source}

    def collect(self) -> Iterable[Metric]:
        transitions = CounterMetricFamily(
            "watcher_transitions_by_type",
            "Total number of task status transitions, by task type.",
            labels=_LABELS,
        )
        for key, count in self._transitions.items():
            transitions.add_metric(key, count)
        durations = SummaryMetricFamily(
            "watcher_task_duration_seconds",
            "Time from the first observation of a task to its end in seconds. Tasks that had ended "
            "when they were first seen are left out.",
            labels=_LABELS,
            unit="seconds",
        )
        for key, (ended, total) in self._durations.items():
            durations.add_metric(key, ended, total)
        return [transitions, durations]

    def _shown(self, task_type: str | None) -> str:
        if task_type is None:
            return OTHER_TASK_TYPE
        task_type = label(task_type)
        if task_type not in self._types:
            if len(self._types) >= TASK_TYPES_SHOWN:
                return OTHER_TASK_TYPE
            self._types.add(task_type)
        return task_type
