"""What Prometheus sees. Labels are bound once, for binding costs more than counting; task IDs are never a label."""

from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.metrics_core import HistogramMetricFamily
from prometheus_client.registry import Collector

from watcher.core.channels import SuspensionKind
from watcher.core.interfaces.store import StoreSize
from watcher.core.tasks import KNOWN_STATUSES, TERMINAL_STATUSES

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each; the process knows when it began

OTHER_STATUS = "OTHER"
OTHER_TASK_TYPE = "other"
UNSEEN_STATUS = "UNSEEN"
"""The status label of a watch whose task upstream has not shown yet."""
TASK_TYPES_SHOWN = 100

_REQUEST_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LAG_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_LATENCY_SECONDS = (
    0.005,
    0.01,
    0.02,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    5.0,
    30.0,
    60.0,
    300.0,
    3600.0,
    86400.0,
)
_CODES = ("200", "401", "404", "429", "500", "502", "503", "504", "timeout", "connect", "protocol")
"""Shown from the start, so that the first of them is an increase."""
_OUTCOMES = ("delivered", "retried", "failed")


class _Buckets:
    """One series of a `BulkHistogram`."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float, count: int) -> None:
        """Record `value` so many times."""
        self.counts[bisect_left(self._bounds, value)] += count
        self.sum += value * count


class BulkHistogram(Collector):
    """A histogram that takes the same value many times at once: a thousand tasks of a page cost a few observations."""

    def __init__(self, name: str, text: str, bounds: Sequence[float], label: str) -> None:
        self._name, self._text, self._bounds, self._label = name, text, bounds, label
        self._series: dict[str, _Buckets] = {}

    def of(self, value: str) -> _Buckets:
        """Return the series whose label has this value."""
        return self._series.setdefault(value, _Buckets(self._bounds))

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Show every series, as prometheus_client asks of a collector."""
        family = HistogramMetricFamily(self._name, self._text, labels=[self._label])
        for value, series in self._series.items():
            names = [*(str(bound) for bound in self._bounds), "+Inf"]
            family.add_metric(
                [value], [*zip(names, accumulate(series.counts), strict=True)], series.sum
            )
        return [family]


class SourceMetrics:
    """The series of one source."""

    def __init__(self, metrics: "Metrics", source: str) -> None:
        self._metrics = metrics
        self._source = source
        self._observations = metrics.observations.labels(source)
        self._lag = metrics.poll_lag.of(source)
        self._behind = metrics.poll_behind.labels(source)
        self._up = metrics.source_up.labels(source)
        self._last_success = metrics.last_success.labels(source)
        self._watches = {
            status: metrics.watches.labels(source, status)
            for status in sorted(KNOWN_STATUSES - TERMINAL_STATUSES | {OTHER_STATUS, UNSEEN_STATUS})
        }
        self._transitions = {OTHER_TASK_TYPE: self._by_status(OTHER_TASK_TYPE)}
        self._up.set(1)

    def requested(self, route: str, code: int | str, seconds: float) -> None:
        """Count one request to upstream; `code` is the HTTP status or `timeout`, `connect`, `protocol`."""
        self._metrics.requests.labels(self._source, route, str(code)).inc()
        self._metrics.request_duration.labels(self._source, route).observe(seconds)

    def budget(self, route: str, remaining: Callable[[], float]) -> None:
        """Show, whenever somebody looks, how many requests of `route` could be sent then."""
        for code in _CODES:
            self._metrics.requests.labels(self._source, route, code)
        self._metrics.request_duration.labels(self._source, route)
        self._metrics.budget_remaining.labels(self._source, route).set_function(remaining)

    def observed(self, count: int, at: float) -> None:
        """Count answers about tasks; `at` is the Unix time of this success."""
        self._observations.inc(count)
        self._last_success.set(at)

    def lagged(self, seconds: float, count: int) -> None:
        """Record how long after they were due `count` tasks were asked for."""
        self._lag.observe(seconds, count)

    def transitioned(self, task_type: str | None, status: str) -> None:
        """Count one transition to `status`."""
        label = self._metrics.task_type_label(task_type)
        if label not in self._transitions:
            self._transitions[label] = self._by_status(label)
        self._transitions[label][status if status in KNOWN_STATUSES else OTHER_STATUS].inc()

    def _by_status(self, task_type: str) -> dict[str, Counter]:
        transitions = self._metrics.transitions
        return {
            status: transitions.labels(self._source, task_type, status)
            for status in (*sorted(KNOWN_STATUSES), OTHER_STATUS)
        }

    def up(self, answering: bool) -> None:
        """Show whether upstream answers."""
        self._up.set(1 if answering else 0)

    def watching(self, counts: Mapping[str | None, int], behind: float) -> None:
        """Show how many active watches have each status (None: not seen yet), and the longest lateness in seconds."""
        self._behind.set(behind)
        shown: Tally[str] = Tally()
        for status, count in counts.items():
            label = UNSEEN_STATUS if status is None else status
            shown[label if label in self._watches else OTHER_STATUS] += count
        for label, gauge in self._watches.items():
            gauge.set(shown[label])


class RuleMetrics:
    """The series of one discovery rule."""

    def __init__(self, metrics: "Metrics", source: str, rule: str) -> None:
        self._found = metrics.discovery_found.labels(source, rule)
        self._requests = metrics.discovery_requests.labels(source, rule)
        self._truncated = metrics.discovery_truncated.labels(source, rule)

    def read(self, found: int) -> None:
        """Count one page, and how many tasks on it were new."""
        self._requests.inc()
        self._found.inc(found)

    def ended(self, *, truncated: bool) -> None:
        """Show whether the last run had to stop before the end of the list."""
        self._truncated.set(1 if truncated else 0)


class ChannelMetrics:
    """The series of one channel."""

    def __init__(self, metrics: "Metrics", channel: str) -> None:
        self._outcomes = {
            outcome: metrics.deliveries.labels(channel, outcome) for outcome in _OUTCOMES
        }
        self._duration = metrics.delivery_duration.labels(channel)
        self._latency = metrics.event_latency.labels(channel)
        self._pending = metrics.outbox_pending.labels(channel)
        self._oldest = metrics.outbox_oldest.labels(channel)
        self._last_delivery = metrics.last_delivery.labels(channel)
        self._breaker = metrics.channel_breaker.labels(channel)
        self._held = {kind: metrics.channel_held.labels(channel, kind) for kind in SuspensionKind}

    def delivered(self, *, duration: float, latency: float, at: float) -> None:
        """Count a success: seconds of the attempt, seconds since the event was seen, and the Unix time."""
        self._outcomes["delivered"].inc()
        self._duration.observe(max(duration, 0.0))
        self._latency.observe(max(latency, 0.0))
        self._last_delivery.set(at)

    def retried(self, duration: float) -> None:
        """Count an attempt that failed and will be made again."""
        self._outcomes["retried"].inc()
        self._duration.observe(max(duration, 0.0))

    def failed(self, duration: float) -> None:
        """Count a delivery that ended `failed`."""
        self._outcomes["failed"].inc()
        self._duration.observe(max(duration, 0.0))

    def overflowed(self, count: int) -> None:
        """Count deliveries that ended `failed` without another attempt, because too many waited."""
        self._outcomes["failed"].inc(count)

    def held(self, kind: SuspensionKind | None) -> None:
        """Show who keeps the channel from sending, None for nobody."""
        for one, gauge in self._held.items():
            gauge.set(1 if one is kind else 0)

    def breaker(self, is_open: bool) -> None:
        """Show whether only one delivery at a time is tried, since nothing goes through."""
        self._breaker.set(1 if is_open else 0)

    def waiting(self, pending: int, oldest_seconds: float) -> None:
        """Show how much waits, and for how long the oldest has."""
        self._pending.set(pending)
        self._oldest.set(max(oldest_seconds, 0.0))


class Metrics:
    """Every series the daemon has, on a registry of the caller's."""

    def __init__(self, registry: CollectorRegistry, version: str) -> None:
        self.registry = registry
        self._task_types: set[str] = set()
        self._sources: dict[str, SourceMetrics] = {}
        self._channels: dict[str, ChannelMetrics] = {}

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(name, text, labels, buckets=buckets, registry=registry)

        ProcessCollector(registry=registry)
        gauge("watcher_build_info", "The running version; always 1.", "version").labels(
            version
        ).set(1)
        self.watches = gauge("watcher_watches", "Active watches.", "source", "status")
        self.requests = counter(
            "watcher_upstream_requests_total", "Requests to upstream.", "source", "route", "code"
        )
        self.request_duration = histogram(
            "watcher_upstream_request_duration_seconds",
            "How long they took.",
            _REQUEST_SECONDS,
            "source",
            "route",
        )
        self.observations = counter("watcher_observations_total", "Answers about tasks.", "source")
        self.poll_lag = BulkHistogram(
            "watcher_poll_lag_seconds", "From due to asked.", _LAG_SECONDS, "source"
        )
        registry.register(self.poll_lag)
        self.poll_behind = gauge(
            "watcher_poll_behind_seconds", "How late the task is that waits longest.", "source"
        )
        self.transitions = counter(
            "watcher_transitions_total", "Status changes seen.", "source", "task_type", "status"
        )
        self.deliveries = counter(
            "watcher_deliveries_total", "Delivery attempts, by outcome.", "channel", "outcome"
        )
        self.delivery_duration = histogram(
            "watcher_delivery_duration_seconds",
            "How long an attempt took.",
            _REQUEST_SECONDS,
            "channel",
        )
        self.event_latency = histogram(
            "watcher_event_latency_seconds",
            "From observed to delivered.",
            _LATENCY_SECONDS,
            "channel",
        )
        self.outbox_pending = gauge("watcher_outbox_pending", "Deliveries that wait.", "channel")
        self.outbox_oldest = gauge(
            "watcher_outbox_oldest_seconds", "Age of the oldest that waits.", "channel"
        )
        self.channel_breaker = gauge(
            "watcher_channel_breaker_open",
            "1 while only one delivery at a time is tried.",
            "channel",
        )
        self.channel_held = gauge(
            "watcher_channel_held",
            "1 while it is paused by a person, stopped by the receiver, or off after days of failures.",
            "channel",
            "kind",
        )
        self.discovery_found = counter(
            "watcher_discovery_tasks_total", "Tasks that a rule found.", "source", "rule"
        )
        self.discovery_requests = counter(
            "watcher_discovery_requests_total", "List pages that a rule read.", "source", "rule"
        )
        self.discovery_truncated = gauge(
            "watcher_discovery_truncated",
            "1 where max_pages was not enough for a rule's list.",
            "source",
            "rule",
        )
        self.store_errors = Counter(
            "watcher_store_errors_total",
            "Operations that the store could not do.",
            registry=registry,
        )
        self._store_bytes = Gauge("watcher_store_bytes", "What the store holds.", registry=registry)
        self._store_limit = Gauge(
            "watcher_store_limit_bytes", "What the store may hold.", registry=registry
        )
        self.source_up = gauge("watcher_source_up", "1 while upstream answers.", "source")
        self.budget_remaining = gauge(
            "watcher_request_budget_remaining",
            "Requests that could be sent now.",
            "source",
            "route",
        )
        self.last_success = gauge(
            "watcher_last_success_timestamp_seconds",
            "When upstream last answered about a task.",
            "source",
        )
        self.last_delivery = gauge(
            "watcher_last_delivery_timestamp_seconds",
            "When the channel last took an event.",
            "channel",
        )

    def stored(self, size: StoreSize) -> None:
        """Show how much the store holds."""
        self._store_bytes.set(size.used)
        self._store_limit.set(size.limit)

    def source(self, name: str) -> SourceMetrics:
        """Return the series of the source called `name`."""
        if name not in self._sources:
            self._sources[name] = SourceMetrics(self, name)
        return self._sources[name]

    def rule(self, source: str, rule: str) -> RuleMetrics:
        """Return the series of a discovery rule."""
        return RuleMetrics(self, source, rule)

    def channel(self, name: str) -> ChannelMetrics:
        """Return the series of the channel called `name`."""
        if name not in self._channels:
            self._channels[name] = ChannelMetrics(self, name)
        return self._channels[name]

    def task_type_label(self, task_type: str | None) -> str:
        """Return the label of `task_type`: itself for the first hundred seen, so that nobody floods the series."""
        if task_type is None:
            return OTHER_TASK_TYPE
        if task_type not in self._task_types:
            if len(self._task_types) >= TASK_TYPES_SHOWN:
                return OTHER_TASK_TYPE
            self._task_types.add(task_type)
        return task_type
