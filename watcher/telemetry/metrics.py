"""What the watcher records for Prometheus.

Labels are bound once, because binding costs more than counting. Task IDs are never a label.
"""

import time
from collections import Counter as Tally
from collections.abc import Callable, Mapping
from enum import StrEnum

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    ProcessCollector,
    disable_created_metrics,
)

from watcher.core.alert_limits import DEFAULT_ALERT_AFTER
from watcher.core.channels import SuspensionKind
from watcher.core.interfaces.maintenance import StoreSize
from watcher.core.tasks import KNOWN_STATUSES, TERMINAL_STATUSES
from watcher.core.texts import OTHER, label
from watcher.telemetry.families import (
    ChannelFamilies,
    DeliveryFamilies,
    DiscoveryFamilies,
    PollingFamilies,
    ReloadFamilies,
    RequestFamilies,
    StoreFamilies,
    unexpected_errors,
)
from watcher.telemetry.request_rate import RequestRate

# They double the number of series, and the process's start time is exported anyway.
disable_created_metrics()  # type: ignore[no-untyped-call]

OTHER_STATUS = "OTHER"
OTHER_TASK_TYPE = "other"
UNSEEN_STATUS = "UNSEEN"
"""The status label of a watch that was not observed yet."""
TASK_TYPES_SHOWN = 100
"""Task types beyond this number share the label `OTHER_TASK_TYPE`."""

_CODES = ("200", "401", "404", "429", "500", "502", "503", "504", "timeout", "connect", "protocol")
"""Exported as 0 from the start, so that the first occurrence is an increase."""
_OUTCOMES = ("delivered", "retried", "failed")


class Component(StrEnum):
    """A part of the daemon in which an error may be unexpected."""

    POLLER = "poller"
    STALLED_TASKS = "stalled_tasks"
    DISCOVERY = "discovery"
    DISPATCHER = "dispatcher"
    CHANNEL = "channel"
    MAINTENANCE = "maintenance"
    HEARTBEAT = "heartbeat"


class _TaskTypeLabels:
    """Bounds the number of task types that become labels: upstream may invent any number."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def label(self, task_type: str | None) -> str:
        if task_type is None:
            return OTHER_TASK_TYPE
        task_type = label(task_type)
        if task_type not in self._known:
            if len(self._known) >= TASK_TYPES_SHOWN:
                return OTHER_TASK_TYPE
            self._known.add(task_type)
        return task_type


class SourceMetrics:
    """The metrics of one source."""

    def __init__(
        self,
        source: str,
        polling: PollingFamilies,
        requests: RequestFamilies,
        task_types: _TaskTypeLabels,
    ) -> None:
        self._source = source
        self._requests = requests
        self._rate = RequestRate(time.monotonic)
        self._budgets: dict[str, Callable[[], float]] = {}
        self._all_transitions = polling.transitions
        self._task_types = task_types
        self._observations = polling.observations.labels(source)
        self._lag = polling.poll_lag.labels(source)
        self._behind = polling.poll_behind.labels(source)
        self._silent = polling.silent.labels(source)
        self._silent_limit = polling.silent_limit.labels(source)
        self._max_interval = polling.max_interval.labels(source)
        self._unmapped = polling.unmapped_statuses.labels(source)
        self._up = polling.source_up.labels(source)
        self._last_success = polling.last_success.labels(source)
        self._watches = {
            status: polling.watches.labels(source, status)
            for status in sorted(KNOWN_STATUSES - TERMINAL_STATUSES | {OTHER_STATUS, UNSEEN_STATUS})
        }
        self._transitions = {OTHER_TASK_TYPE: self._by_status(OTHER_TASK_TYPE)}
        self._up.set(1)

    def requested(self, route: str, code: int | str, seconds: float) -> None:
        """Count a request; `code` is the HTTP status or `timeout`, `connect`, `protocol`."""
        self._rate.count()
        known = isinstance(code, str) or 100 <= code < 600
        self._requests.requests.labels(self._source, route, str(code) if known else OTHER).inc()
        self._requests.duration.labels(self._source, route).observe(seconds)

    def budget(self, route: str, remaining: Callable[[], float]) -> None:
        """Export the budget of `route`; each scrape calls `remaining`."""
        for code in _CODES:
            self._requests.requests.labels(self._source, route, code)
        self._requests.duration.labels(self._source, route)
        self._requests.budget_remaining.labels(self._source, route).set_function(remaining)
        self._budgets[route] = remaining

    def requests_per_minute(self) -> int:
        """Return the number of requests of the last minute."""
        return self._rate.last_minute()

    def budgets(self) -> Mapping[str, float]:
        """Return by route how many requests could be sent now."""
        return {route: remaining() for route, remaining in self._budgets.items()}

    def observed(self, count: int, at: float) -> None:
        """Count observations; `at` is the Unix time of the successful poll."""
        self._observations.inc(count)
        self._last_success.set(at)

    def lagged(self, seconds: float, count: int) -> None:
        """Record that `count` tasks were polled `seconds` after their due time."""
        self._lag.observe(seconds, count)

    def unmapped_status(self) -> None:
        """Count a transition to a status that is not known."""
        self._unmapped.inc()

    def transitioned(self, task_type: str | None, status: str) -> None:
        shown = self._task_types.label(task_type)
        if shown not in self._transitions:
            self._transitions[shown] = self._by_status(shown)
        self._transitions[shown][status if status in KNOWN_STATUSES else OTHER_STATUS].inc()

    def _by_status(self, task_type: str) -> dict[str, Counter]:
        return {
            status: self._all_transitions.labels(self._source, task_type, status)
            for status in (*sorted(KNOWN_STATUSES), OTHER_STATUS)
        }

    def up(self, reachable: bool) -> None:
        self._up.set(1 if reachable else 0)

    def limits(self, *, max_interval: float, silent: float) -> None:
        """Set what alerts compare with: the longest interval, and how long no poll may succeed."""
        self._max_interval.set(max_interval)
        self._silent_limit.set(silent)

    def watching(self, counts: Mapping[str | None, int], behind: float, silent: float) -> None:
        """Set the number of active watches by status, the delay of the most overdue poll, and for
        how long none has succeeded although one was due, in seconds.

        The status None stands for a task not observed yet.
        """
        self._behind.set(behind)
        self._silent.set(silent)
        by_label: Tally[str] = Tally()
        for status, count in counts.items():
            label = UNSEEN_STATUS if status is None else status
            by_label[label if label in self._watches else OTHER_STATUS] += count
        for label, gauge in self._watches.items():
            gauge.set(by_label[label])


class RuleMetrics:
    """The metrics of one discovery rule."""

    def __init__(self, source: str, rule: str, families: DiscoveryFamilies) -> None:
        self._tasks = families.tasks.labels(source, rule)
        self._requests = families.requests.labels(source, rule)
        self._skipped = families.skipped.labels(source, rule)
        self._truncated = families.truncated.labels(source, rule)

    def read(self, new_tasks: int) -> None:
        """Count one page of the list, and the new tasks on it."""
        self._requests.inc()
        self._tasks.inc(new_tasks)

    def skipped(self, count: int) -> None:
        """Count listed tasks that were not added because their IDs are not valid."""
        self._skipped.inc(count)

    def ended(self, *, truncated: bool) -> None:
        """Record whether a run stopped before the end of the list."""
        self._truncated.set(1 if truncated else 0)


class ChannelMetrics:
    """The metrics of one channel."""

    def __init__(self, channel: str, delivery: DeliveryFamilies, state: ChannelFamilies) -> None:
        self._outcomes = {
            outcome: delivery.deliveries.labels(channel, outcome) for outcome in _OUTCOMES
        }
        self._duration = delivery.duration.labels(channel)
        self._latency = delivery.event_latency.labels(channel)
        self._overflowed = delivery.overflowed.labels(channel)
        self._last_delivery = delivery.last_delivery.labels(channel)
        self._alert_after = delivery.alert_after.labels(channel)
        self._breaker = state.breaker_open.labels(channel)
        self._held: dict[SuspensionKind, Gauge] = {
            kind: state.held.labels(channel, kind) for kind in SuspensionKind
        }

    def alerts_after(self, seconds: float) -> None:
        """Set what alerts compare the age of pending deliveries with."""
        self._alert_after.set(seconds)

    def delivered(self, *, duration: float, latency: float, at: float) -> None:
        """Count a success.

        `duration` is that of the attempt, `latency` the time since the observation, both in
        seconds; `at` is Unix time.
        """
        self._outcomes["delivered"].inc()
        self._duration.observe(max(duration, 0.0))
        self._latency.observe(max(latency, 0.0))
        self._last_delivery.set(at)

    def retried(self, duration: float) -> None:
        """Count a failed attempt that will be retried."""
        self._outcomes["retried"].inc()
        self._duration.observe(max(duration, 0.0))

    def failed(self, duration: float) -> None:
        """Count a failed attempt that was the last one of its delivery."""
        self._outcomes["failed"].inc()
        self._duration.observe(max(duration, 0.0))

    def overflowed(self, count: int) -> None:
        """Count deliveries that failed because the backlog exceeded its share of the store."""
        self._outcomes["failed"].inc(count)
        self._overflowed.inc(count)

    def held(self, kind: SuspensionKind | None) -> None:
        """Show why the channel is suspended; None if it is not."""
        for each, gauge in self._held.items():
            gauge.set(1 if each is kind else 0)

    def breaker(self, is_open: bool) -> None:
        self._breaker.set(1 if is_open else 0)


class Metrics:
    """All metrics of one daemon, on the caller's registry."""

    def __init__(self, registry: CollectorRegistry, version: str) -> None:
        self.registry = registry
        ProcessCollector(registry=registry)
        build_info = Gauge(
            "watcher_build_info",
            "Version of the watcher; always 1.",
            ["version"],
            registry=registry,
        )
        build_info.labels(version).set(1)
        self._requests = RequestFamilies(registry)
        self._polling = PollingFamilies(registry)
        self._discovery = DiscoveryFamilies(registry)
        self._delivery = DeliveryFamilies(registry)
        self._channel_state = ChannelFamilies(registry)
        self._store = StoreFamilies(registry)
        self.store_errors = self._store.errors
        unexpected = unexpected_errors(registry)
        self._unexpected_errors = {part: unexpected.labels(part) for part in Component}
        self._task_types = _TaskTypeLabels()
        self._reload = ReloadFamilies(registry)
        self._waiting: set[str] = set()
        self._sources: dict[str, SourceMetrics] = {}
        self._channels: dict[str, ChannelMetrics] = {}

    def unexpected_error(self, component: Component) -> None:
        """Count an exception that `component` did not expect."""
        self._unexpected_errors[component].inc()

    def stored(self, size: StoreSize) -> None:
        self._store.size.set(size.all_used)
        self._store.limit.set(size.whole_limit)

    def outbox(self, waiting: Mapping[str, tuple[int, float, int]]) -> None:
        """Set, by channel, the number of pending deliveries, the age in seconds of the oldest, and
        what they take in the store, in bytes.

        Channels that `waiting` leaves out are not shown any more.
        """
        for name in self._waiting - waiting.keys():
            if name not in self._channels:
                self._delivery.forget("channel", name)
        self._waiting = set(waiting)
        for name, (pending, oldest_seconds, size) in waiting.items():
            self._delivery.pending.labels(name).set(pending)
            self._delivery.bytes.labels(name).set(size)
            self._delivery.oldest.labels(name).set(max(oldest_seconds, 0.0))
            if name not in self._channels:  # not configured, so it has no setting
                self._delivery.alert_after.labels(name).set(DEFAULT_ALERT_AFTER)

    def overflowed(self, channel: str, count: int) -> None:
        """Count deliveries of a channel that is not configured, which failed because its backlog
        exceeded its share of the store. They are shown until nothing is pending for it.
        """
        self._delivery.deliveries.labels(channel, "failed").inc(count)
        self._delivery.overflowed.labels(channel).inc(count)
        self._waiting.add(channel)

    def reloaded(self, succeeded: bool, at: float) -> None:
        """Record how a reload of the configuration, or its first reading, ended at this Unix
        time.
        """
        self._reload.successful.set(1 if succeeded else 0)
        if succeeded:
            self._reload.succeeded_at.set(at)

    def forget_source(self, name: str) -> None:
        """Stop showing a source that is not configured any more."""
        self._sources.pop(name, None)
        self._forget("source", name)

    def forget_channel(self, name: str) -> None:
        """Stop showing a channel that is not configured any more, but for what waits for it."""
        self._channels.pop(name, None)
        self._forget("channel", name)

    def forget_rule(self, label: str) -> None:
        """Stop showing a discovery rule that is not configured any more."""
        self._forget("rule", label)

    def _forget(self, label: str, value: str) -> None:
        for families in (self._requests, self._polling, self._discovery, self._delivery):
            families.forget(label, value)
        self._channel_state.forget(label, value)

    def source(self, name: str) -> SourceMetrics:
        """Return the metrics of a source, created on first use."""
        if name not in self._sources:
            self._sources[name] = SourceMetrics(
                name, self._polling, self._requests, self._task_types
            )
        return self._sources[name]

    def rule(self, source: str, rule: str) -> RuleMetrics:
        """Return the metrics of a discovery rule."""
        return RuleMetrics(source, rule, self._discovery)

    def channel(self, name: str) -> ChannelMetrics:
        """Return the metrics of a channel, created on first use."""
        if name not in self._channels:
            self._channels[name] = ChannelMetrics(name, self._delivery, self._channel_state)
        return self._channels[name]
