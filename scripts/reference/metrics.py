"""The metrics, from the registry that the daemon fills."""

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry

from scripts.reference.markdown import code, page, table
from watcher.telemetry.fleet_metrics import FleetMetrics
from watcher.telemetry.metrics import Metrics

INTRODUCTION = """
`GET /metrics` of the API and of the `telemetry` listener. Timestamps are 0 until the first
occurrence. No label grows with the number of tasks. Histograms have `_bucket`, `_sum` and `_count`
series, summaries `_sum` and `_count`. The usual `process_…` metrics are included. Those of
replicas and slices exist where the store is shared.
"""


def metrics() -> str:
    registry = CollectorRegistry()
    Metrics(registry, "0")
    FleetMetrics(registry)
    rows = [
        [code(name), kind, ", ".join(labels), text]
        for collector in registry._collector_to_names
        for name, kind, labels, text in _families(collector)
        if name.startswith("watcher_")
    ]
    return page(
        "Metrics reference", INTRODUCTION, table(["metric", "type", "labels", "description"], rows)
    )


def _families(collector: Any) -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    """Yield name, type, labels and help text of each family of a collector."""
    if hasattr(collector, "_labelnames"):
        yield (
            _name(collector._name, collector._type),
            collector._type,
            tuple(collector._labelnames),
            collector._documentation,
        )
    else:
        for family in collector.collect():
            labels = tuple(getattr(family, "_labelnames", ()))
            yield _name(family.name, family.type), family.type, labels, family.documentation


def _name(name: str, kind: str) -> str:
    return name + "_total" if kind == "counter" else name
