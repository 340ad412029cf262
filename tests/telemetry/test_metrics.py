"""The exported metrics, and their table in the README."""

import re
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families as families

from watcher.core.tasks import KNOWN_STATUSES
from watcher.telemetry.metrics import TASK_TYPES_SHOWN, Metrics

README = Path(__file__).parents[2] / "README.md"


def populated() -> Metrics:
    """Return metrics in which every family has a series."""
    metrics = Metrics(CollectorRegistry(), "1.2.3")
    metrics.source("mixpeek").budget("GET /v1/tasks/{task_id}", lambda: 7.0)
    metrics.rule("mixpeek", "0-tasks")
    metrics.channel("backend")
    metrics.outbox({"backend": (0, 0.0, 0)})
    return metrics


def samples(metrics: Metrics) -> list[tuple[str, dict[str, str], float]]:
    text = generate_latest(metrics.registry).decode()
    return [
        (sample.name, sample.labels, sample.value)
        for family in families(text)
        for sample in family.samples
    ]


def test_the_readme_names_every_metric_with_its_labels() -> None:
    documented: dict[str, set[str]] = {}
    for names, labels in re.findall(
        r"^\| (`watcher_[^|]+) \|([^|]*)\|", README.read_text(), re.MULTILINE
    ):
        for name in re.findall(r"`(\w+)`", names):
            documented[name] = {label for label in re.split(r"[ ,]+", labels) if label}

    exposed: dict[str, set[str]] = {}
    for name, labels, _ in samples(populated()):
        if name.startswith("watcher_"):
            exposed[re.sub(r"_(bucket|sum|count)$", "", name)] = labels.keys() - {"le"}

    assert documented == exposed


def test_expected_series_exist_with_the_value_zero_from_the_start() -> None:
    values = {
        (name, *sorted(labels.values())): value for name, labels, value in samples(populated())
    }
    for status in KNOWN_STATUSES:
        assert values["watcher_transitions_total", *sorted(("mixpeek", "other", status))] == 0
    for outcome in ("delivered", "retried", "failed"):
        assert values["watcher_deliveries_total", *sorted(("backend", outcome))] == 0
    for code in ("200", "429", "503", "timeout", "connect", "protocol"):
        assert (
            values[
                "watcher_upstream_requests_total",
                *sorted(("mixpeek", "GET /v1/tasks/{task_id}", code)),
            ]
            == 0
        )
    assert values["watcher_store_errors_total",] == 0
    assert values["watcher_last_success_timestamp_seconds", "mixpeek"] == 0
    assert values["watcher_last_delivery_timestamp_seconds", "backend"] == 0


def test_unknown_statuses_and_surplus_task_types_share_a_label() -> None:
    metrics = populated()
    source = metrics.source("mixpeek")
    for number in range(2 * TASK_TYPES_SHOWN):
        source.transitioned(f"type_{number}", "FAILED")
    before = len(samples(metrics))
    for number in range(1000):
        source.transitioned(f"another_{number}", f"STATUS_{number}")

    assert len(samples(metrics)) == before
    labels = {"source": "mixpeek", "task_type": "other", "status": "OTHER"}
    assert metrics.registry.get_sample_value("watcher_transitions_total", labels) == 1000


def test_no_series_exports_only_its_creation_time() -> None:
    assert not [name for name, _, _ in samples(populated()) if name.endswith("_created")]


def test_every_label_of_every_family_has_a_bound_and_can_be_forgotten() -> None:
    metrics = Metrics(CollectorRegistry(), "test")
    before = samples(metrics)
    long = "x" * 1_000_000
    metrics.source(long).requested(long, long, 0.1)
    metrics.source(long).budget(long, lambda: 1.0)
    metrics.source(long).transitioned(long, long)
    metrics.rule(long, long)
    metrics.channel(long)
    metrics.outbox({long: (1, 1.0, 1), 'a"b': (2, 1.0, 1)})
    shown = samples(metrics)
    assert len(shown) > len(before) + 100
    assert all(len(value) <= 128 for _, labels, _ in shown for value in labels.values())

    metrics.forget_source(long)
    metrics.forget_rule(long)
    metrics.forget_channel(long)
    names = {name for name, *_ in before}
    assert {name for name, *_ in samples(metrics)} == names


def test_what_upstream_sends_makes_no_long_or_hostile_label() -> None:
    registry = CollectorRegistry()
    source = Metrics(registry, "test").source("mixpeek")
    for kind in ("x" * 1_000_000, 'a"b', "a\nb", "a\u202eb", "\x1b[2J", "é" * 65):
        source.transitioned(kind, "FAILED")
    source.requested("GET /x", 999, 0.1)
    scrape = generate_latest(registry).decode()
    assert len(scrape) < 100_000
    values = {
        value
        for family in registry.collect()
        for one in family.samples
        for name, value in one.labels.items()
        if name in ("task_type", "code")
    }
    assert "other" in values
    assert all(value.isprintable() and len(value.encode()) <= 128 for value in values)
