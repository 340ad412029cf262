"""What the watcher records for Prometheus.

Labels are bound once, because binding costs more than counting. Task IDs are never a label.
"""

import math
from collections.abc import Mapping
from enum import StrEnum

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector

from watcher.core.alert_limits import DEFAULT_ALERT_AFTER
from watcher.core.deliveries import DeliveryState, OutboxDepth
from watcher.core.errors import StoreFailure
from watcher.core.interfaces.maintenance import StoreSize
from watcher.core.texts import label as label_of
from watcher.telemetry.channel_metrics import ChannelMetrics
from watcher.telemetry.event_counts import EventCounts
from watcher.telemetry.families import (
    ChannelFamilies,
    DeliveryFamilies,
    DiscoveryFamilies,
    HeartbeatFamilies,
    PollingFamilies,
    ReloadFamilies,
    RequestFamilies,
    StoreFamilies,
    unexpected_errors,
)
from watcher.telemetry.source_metrics import RuleMetrics, SourceMetrics
from watcher.telemetry.task_types import TaskTypeMetrics


class Component(StrEnum):
    """A part of the daemon in which an error may be unexpected."""

    POLLER = "poller"
    STALLED_TASKS = "stalled_tasks"
    DISCOVERY = "discovery"
    DISPATCHER = "dispatcher"
    CHANNEL = "channel"
    MAINTENANCE = "maintenance"
    HEARTBEAT = "heartbeat"
    FLEET = "fleet"
    STATUS = "status"


class HeartbeatOutcome(StrEnum):
    """How a heartbeat that was due ended."""

    SENT = "sent"
    FAILED = "failed"
    SUPPRESSED = "suppressed"


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
        self._unwritable = {
            reason: self._store.unwritable.labels(reason) for reason in StoreFailure
        }
        self.store_errors = self._store.errors
        self.store_commit_took = self._store.commit_duration.observe
        unexpected = unexpected_errors(registry)
        self._unexpected_errors = {part: unexpected.labels(part) for part in Component}
        self._task_types = TaskTypeMetrics()
        registry.register(self._task_types)
        self._events = EventCounts(registry)
        self._reload = ReloadFamilies(registry)
        self._heartbeat = HeartbeatFamilies(registry)
        self._heartbeats = {
            outcome: self._heartbeat.heartbeats.labels(outcome) for outcome in HeartbeatOutcome
        }
        self._waiting: set[str] = set()
        self._sources: dict[str, SourceMetrics] = {}
        self._channels: dict[str, ChannelMetrics] = {}

    def unexpected_error(self, component: Component) -> None:
        """Count an exception that `component` did not expect."""
        self._unexpected_errors[component].inc()

    def stored(self, size: StoreSize) -> None:
        """Set the size of the store, and the space that is left around it."""
        self._store.size.set(size.all_used)
        self._store.limit.set(math.inf if size.whole_limit is None else size.whole_limit)
        if size.limit is None:
            self._store.free.set(math.nan)  # of the server's disk
        elif size.free is not None:
            self._store.free.set(size.free)

    def store_writable(self, reason: StoreFailure | None) -> None:
        """Show whether events can be stored, and if not, why."""
        for each, gauge in self._unwritable.items():
            gauge.set(1 if each is reason else 0)

    def heartbeat(self, outcome: HeartbeatOutcome, at: float) -> None:
        """Count a heartbeat that was due at this Unix time."""
        self._heartbeats[outcome].inc()
        self._heartbeat.failing.set(1 if outcome is HeartbeatOutcome.FAILED else 0)
        if outcome is HeartbeatOutcome.SENT:
            self._heartbeat.sent_at.set(at)

    def heartbeat_removed(self) -> None:
        """Show that no heartbeat fails, because none is configured any more."""
        self._heartbeat.failing.set(0)

    def outbox(self, waiting: Mapping[str, OutboxDepth], now: float) -> None:
        """Set what is pending and what has failed, by channel; `now` is Unix time.

        Channels that `waiting` leaves out are not shown any more.
        """
        for name in self._waiting - waiting.keys():
            if name not in self._channels:
                self._delivery.forget("channel", name)
        self._waiting = set(waiting)
        for name, depth in waiting.items():
            oldest = now if depth.oldest_created_at is None else depth.oldest_created_at
            self._delivery.pending.labels(name).set(depth.pending)
            self._delivery.bytes.labels(name).set(depth.pending_bytes)
            self._delivery.bypassed.labels(name).set(depth.bypassed)
            self._delivery.oldest.labels(name).set(max(now - oldest, 0.0))
            self._delivery.kept.labels(name, DeliveryState.PENDING).set(depth.pending)
            self._delivery.kept.labels(name, DeliveryState.FAILED).set(depth.failed)
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
        if label == "source":
            self._task_types.remove_by_labels({label: label_of(value)})

    def source(self, name: str) -> SourceMetrics:
        """Return the metrics of a source, created on first use."""
        if name not in self._sources:
            self._sources[name] = SourceMetrics(
                name, self._polling, self._requests, self._task_types, self._events
            )
        return self._sources[name]

    def rule(self, source: str, rule: str) -> RuleMetrics:
        """Return the metrics of a discovery rule."""
        return RuleMetrics(source, rule, self._discovery)

    def channel(self, name: str) -> ChannelMetrics:
        """Return the metrics of a channel, created on first use."""
        if name not in self._channels:
            self._channels[name] = ChannelMetrics(
                name, self._delivery, self._channel_state, self._events
            )
        return self._channels[name]
