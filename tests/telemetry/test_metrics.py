"""The exported metrics, and their table in docs/monitoring.md."""

import re
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import choose_encoder
from prometheus_client.parser import text_string_to_metric_families as families

from watcher.core.deliveries import OutboxDepth
from watcher.core.errors import DeliveryFailure, SourceFailure
from watcher.core.events import event_type
from watcher.core.tasks import KNOWN_STATUSES
from watcher.telemetry.fleet_metrics import FleetMetrics
from watcher.telemetry.metrics import Metrics
from watcher.telemetry.task_types import TASK_TYPES_SHOWN

PAGE = Path(__file__).parents[2] / "docs/monitoring.md"


def populated() -> Metrics:
    """Return metrics in which every family has a series."""
    metrics = Metrics(CollectorRegistry(), "1.2.3")
    FleetMetrics(metrics.registry)
    metrics.source("mixpeek").budget("GET /v1/tasks/{task_id}", lambda: 7.0)
    metrics.rule("mixpeek", "0-tasks")
    metrics.channel("backend")
    metrics.source("mixpeek").reachable(None)
    metrics.outbox({"backend": OutboxDepth.empty("backend")}, now=0.0)
    return metrics


def samples(metrics: Metrics) -> list[tuple[str, dict[str, str], float]]:
    text = generate_latest(metrics.registry).decode()
    return [
        (sample.name, sample.labels, sample.value)
        for family in families(text)
        for sample in family.samples
    ]


def test_a_budget_that_replicas_share_remains_as_far_as_it_holds_requests() -> None:
    registry = CollectorRegistry()
    source = Metrics(registry, "1").source("a")
    source.budget("GET x", lambda: 5.0)
    source.budget("GET y", lambda: 0.5)

    def remaining() -> list[float | None]:
        return [
            registry.get_sample_value(
                "watcher_request_budget_remaining", {"source": "a", "route": route}
            )
            for route in ("GET x", "GET y")
        ]

    assert remaining() == [5.0, 0.5]
    source.shared_left({"a GET x": 0.25, "a GET y": 3.0, "b GET x": 9.0})
    assert remaining() == [0.25, 0.5]
    source.shared_left({"a all routes": 2.0})
    assert remaining() == [2.0, 0.5]


def test_the_metrics_of_the_page_exist_with_their_labels() -> None:
    documented: dict[str, set[str]] = {}
    for names, labels in re.findall(
        r"^\| (`watcher_[^|]+) \|([^|]*)\|", PAGE.read_text(), re.MULTILINE
    ):
        for name in re.findall(r"`(\w+)`", names):
            documented[name] = {label for label in re.split(r"[ ,]+", labels) if label}

    exposed: dict[str, set[str]] = {}
    for name, labels, _ in samples(populated()):
        exposed[re.sub(r"_(bucket|sum|count)$", "", name)] = labels.keys() - {"le"}

    assert len(documented) >= 10
    assert documented.items() <= exposed.items()


def test_expected_series_exist_with_the_value_zero_from_the_start() -> None:
    values = {
        (name, *sorted(labels.values())): value for name, labels, value in samples(populated())
    }
    for status in KNOWN_STATUSES:
        assert values["watcher_transitions_total", *sorted(("mixpeek", status))] == 0
        assert values["watcher_events_total", event_type(status)] == 0
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
    source.transitioned("another", "STATUS")
    before = len(samples(metrics))
    for number in range(1000):
        source.transitioned(f"another_{number}", f"STATUS_{number}")

    assert len(samples(metrics)) == before
    labels = {"source": "mixpeek", "status": "OTHER"}
    value = metrics.registry.get_sample_value
    assert value("watcher_transitions_total", labels) == 1001
    assert value("watcher_transitions_by_type_total", labels | {"task_type": "other"}) == 1001


def test_the_first_failure_of_a_type_is_an_increase() -> None:
    metrics = populated()
    source = metrics.source("mixpeek")
    labels = {"source": "mixpeek", "task_type": "process", "status": "FAILED"}
    value = metrics.registry.get_sample_value
    source.transitioned("process", "PENDING")
    assert value("watcher_transitions_by_type_total", labels) == 0
    source.transitioned("process", "FAILED")
    assert value("watcher_transitions_by_type_total", labels) == 1


def test_a_source_is_neither_up_nor_down_before_it_was_requested() -> None:
    metrics = Metrics(CollectorRegistry(), "test")
    source = metrics.source("mixpeek")
    value = metrics.registry.get_sample_value
    assert value("watcher_source_up", {"source": "mixpeek"}) is None

    source.reachable(SourceFailure.UNAUTHORIZED)
    down = {reason: {"source": "mixpeek", "reason": reason} for reason in SourceFailure}
    assert value("watcher_source_up", {"source": "mixpeek"}) == 0
    assert {reason for reason, labels in down.items() if value("watcher_source_down", labels)} == {
        SourceFailure.UNAUTHORIZED
    }

    source.reachable(None)
    assert value("watcher_source_up", {"source": "mixpeek"}) == 1
    assert not any(value("watcher_source_down", labels) for labels in down.values())


def test_a_failing_channel_keeps_its_first_reason_until_it_works() -> None:
    metrics = populated()
    channel = metrics.channel("backend")

    def shown() -> list[str]:
        return [
            reason
            for reason in DeliveryFailure
            if metrics.registry.get_sample_value(
                "watcher_channel_failing", {"channel": "backend", "reason": reason}
            )
        ]

    assert shown() == []
    channel.failing(DeliveryFailure.CONNECT)
    channel.failing(DeliveryFailure.UNAVAILABLE)
    assert shown() == ["connect"]
    channel.failing(None)
    channel.failing(DeliveryFailure.UNAVAILABLE)
    assert shown() == ["unavailable"]


def test_a_scrape_has_units_and_the_event_that_took_so_long() -> None:
    metrics = populated()
    metrics.channel("backend").delivered("msg_1", duration=0.3, latency=42.0, at=5.0)
    encode, _ = choose_encoder("application/openmetrics-text; version=1.0.0")
    text = encode(metrics.registry).decode()
    assert "# UNIT watcher_event_latency_seconds seconds" in text
    assert "# UNIT watcher_store_bytes bytes" in text
    assert re.search(
        r'event_latency_seconds_bucket\{.*le="60.0"\} 1.0 # \{event_id="msg_1"\} 42.0', text
    )


def test_the_buckets_fit_short_and_long_times() -> None:
    bounds: dict[str, list[float]] = {}
    for name, labels, _ in samples(populated()):
        if name.endswith("_bucket"):
            bounds.setdefault(name, []).append(float(labels["le"]))
    assert min(bounds["watcher_poll_lag_seconds_bucket"]) <= 0.001
    latency = bounds["watcher_event_latency_seconds_bucket"]
    assert {2, 10, 15, 120, 600, 1800} <= {*latency}


def test_every_label_of_every_family_has_a_bound_and_can_be_forgotten() -> None:
    metrics = Metrics(CollectorRegistry(), "test")
    before = samples(metrics)
    long = "x" * 1_000_000
    metrics.source(long).requested(long, long, 0.1)
    metrics.source(long).budget(long, lambda: 1.0)
    metrics.source(long).transitioned(long, long)
    metrics.rule(long, long)
    metrics.channel(long)
    metrics.outbox({name: OutboxDepth.empty(name) for name in (long, 'a"b')}, now=0.0)
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
