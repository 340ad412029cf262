"""Every metric family that the watcher exports, by what it describes.

Names and labels are public. Help texts follow the Prometheus naming guide.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from watcher.telemetry.family import Families, Family

_REQUEST_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LAG_BELOW_A_SECOND = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5)
_LAG_SECONDS = (*_LAG_BELOW_A_SECOND, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_LATENCY_BELOW_A_SECOND = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5)
_LATENCY_SECONDS = (
    *(*_LATENCY_BELOW_A_SECOND, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0),
    *(600.0, 1800.0, 3600.0, 86400.0),
)
_COMMIT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class RequestFamilies(Families):
    """Requests to upstream, and the budget for them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.requests = self.counter(
            "watcher_upstream_requests_total",
            "Total number of requests to upstream.",
            *("source", "route", "code"),
        )
        self.duration = self.histogram(
            "watcher_upstream_request_duration_seconds",
            "Duration of requests to upstream in seconds.",
            _REQUEST_SECONDS,
            *("source", "route"),
        )
        self.budget_remaining = self.gauge(
            "watcher_request_budget_remaining",
            "Number of requests that the budget allows now.",
            *("source", "route"),
        )
        self.hold = self.gauge(
            "watcher_request_hold_seconds",
            "Time for which upstream has paused the requests of a route, as far as it is not over, "
            "in seconds.",
            *("source", "route"),
        )


class PollingFamilies(Families):
    """Watches, observations and transitions, by source."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.watches = self.gauge(
            "watcher_watches", "Number of active watches.", "source", "status"
        )
        self.observations = self.counter(
            "watcher_observations_total", "Total number of task observations.", "source"
        )
        self.poll_lag = self.bulk_histogram(
            "watcher_poll_lag_seconds",
            "Delay between a poll's due time and its request in seconds.",
            _LAG_SECONDS,
            "source",
        )
        self.poll_behind = self.gauge(
            "watcher_poll_behind_seconds", "Delay of the most overdue poll in seconds.", "source"
        )
        self.list_ids = self.gauge(
            "watcher_list_ids_per_request",
            "Number of task IDs that one list request may hold.",
            "source",
        )
        self.max_interval = self.gauge(
            "watcher_max_interval_seconds",
            "Longest interval between two polls of a task in seconds, as polling.max_interval.",
            "source",
        )
        self.silent = self.gauge(
            "watcher_poll_silent_seconds",
            "Time without a successful poll although one was due in seconds.",
            "source",
        )
        self.silent_limit = self.gauge(
            "watcher_poll_silent_limit_seconds",
            "Time without a successful poll that the settings allow in seconds.",
            "source",
        )
        self.transitions = self.counter(
            "watcher_transitions_total",
            "Total number of task status transitions.",
            *("source", "status"),
        )
        self.lost = self.gauge("watcher_tasks_lost", "Number of lost tasks.", "source")
        self.stalled = self.gauge("watcher_tasks_stalled", "Number of stalled tasks.", "source")
        self.unmapped_statuses = self.counter(
            "watcher_unmapped_statuses_total",
            "Total number of transitions to a status that is not known.",
            "source",
        )
        self.source_up = self.gauge(
            "watcher_source_up",
            "1 if the source is reachable, 0 if it is down; absent until it was polled.",
            "source",
        )
        self.source_down = self.gauge(
            "watcher_source_down",
            "1 while the source is down for this reason, the one with which it went down.",
            *("source", "reason"),
        )
        self.last_success = self.gauge(
            "watcher_last_success_timestamp_seconds",
            "Unix time of the last successful poll.",
            "source",
        )


def unexpected_errors(registry: CollectorRegistry) -> Family[Counter]:
    """Return the family that counts unexpected errors, by component."""
    return Families(registry).counter(
        "watcher_unexpected_errors_total",
        "Total number of errors that a component did not expect.",
        "component",
    )


class DiscoveryFamilies(Families):
    """Discovery rules."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        labels = ("source", "rule")
        self.tasks = self.counter(
            "watcher_discovery_tasks_total",
            "Total number of tasks added by a discovery rule.",
            *labels,
        )
        self.requests = self.counter(
            "watcher_discovery_requests_total",
            "Total number of list pages read for a discovery rule.",
            *labels,
        )
        self.skipped = self.counter(
            "watcher_discovery_skipped_total",
            "Total number of listed tasks that were skipped because of an invalid ID.",
            *labels,
        )
        self.truncated = self.gauge(
            "watcher_discovery_truncated",
            "1 if the last run stopped at max_pages before the end of the list.",
            *labels,
        )
        self.failing = self.gauge("watcher_discovery_failing", "1 if the last run failed.", *labels)
        self.last_success = self.gauge(
            "watcher_discovery_last_success_timestamp_seconds",
            "Unix time of the last run that did not fail.",
            *labels,
        )


class DeliveryFamilies(Families):
    """Attempts to deliver events, and the outbox, by channel."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.deliveries = self.counter(
            "watcher_deliveries_total",
            "Total number of delivery attempts.",
            *("channel", "outcome"),
        )
        self.duration = self.histogram(
            "watcher_delivery_duration_seconds",
            "Duration of delivery attempts in seconds.",
            _REQUEST_SECONDS,
            "channel",
        )
        self.event_latency = self.histogram(
            "watcher_event_latency_seconds",
            "Time from observation to delivery of an event in seconds.",
            _LATENCY_SECONDS,
            "channel",
        )
        self.pending = self.gauge(
            "watcher_outbox_pending", "Number of pending deliveries.", "channel"
        )
        self.kept = self.gauge(
            "watcher_deliveries_kept",
            "Number of deliveries in the store that are pending or have failed.",
            *("channel", "state"),
        )
        self.bypassed = self.gauge(
            "watcher_outbox_bypassed",
            "Number of pending deliveries that let later ones pass, because the receiver rejected "
            "them or they failed for longer than order_wait.",
            "channel",
        )
        self.oldest = self.gauge(
            "watcher_outbox_oldest_seconds",
            "Age of the oldest pending delivery in seconds.",
            "channel",
        )
        self.alert_after = self.gauge(
            "watcher_alert_after_seconds",
            "Time without a success after which a channel is failing in seconds, as alert_after.",
            "channel",
        )
        self.bytes = self.gauge(
            "watcher_outbox_bytes",
            "Size of the pending deliveries in the store in bytes.",
            "channel",
        )
        self.overflowed = self.counter(
            "watcher_outbox_overflowed_total",
            "Total number of deliveries that failed because the channel's backlog exceeded its "
            "share of the store.",
            "channel",
        )
        self.last_delivery = self.gauge(
            "watcher_last_delivery_timestamp_seconds",
            "Unix time of the last successful delivery.",
            "channel",
        )


class ChannelFamilies(Families):
    """The state of each channel."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.breaker_open = self.gauge(
            "watcher_channel_breaker_open", "1 if the circuit breaker is open.", "channel"
        )
        self.held = self.gauge(
            "watcher_channel_held",
            "1 if the channel is suspended: paused by an operator, stopped by the receiver, or "
            "off after days of failures.",
            *("channel", "kind"),
        )
        self.failing = self.gauge(
            "watcher_channel_failing",
            "1 while the channel has accepted nothing since it failed with this reason.",
            *("channel", "reason"),
        )


class StoreFamilies(Families):
    """The store's size, speed and failures."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.unwritable = self.gauge(
            "watcher_store_unwritable", "1 while events cannot be stored for this reason.", "reason"
        )
        self.commit_duration = Histogram(
            "watcher_store_commit_duration_seconds",
            "Duration of durable transactions in seconds.",
            buckets=_COMMIT_SECONDS,
            registry=registry,
            unit="seconds",
        )
        self.free = Gauge(
            "watcher_store_free_bytes",
            "Free space on the file system of the store in bytes.",
            registry=registry,
            unit="bytes",
        )
        self.errors = Counter(
            "watcher_store_errors_total",
            "Total number of failed store operations.",
            registry=registry,
        )
        self.size = Gauge(
            "watcher_store_bytes", "Size of the store in bytes.", registry=registry, unit="bytes"
        )
        self.limit = Gauge(
            "watcher_store_limit_bytes",
            "Maximum size of the store in bytes.",
            registry=registry,
            unit="bytes",
        )


class ReloadFamilies:
    """Reloads of the configuration."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.successful = Gauge(
            "watcher_config_last_reload_successful",
            "1 if the last reload of the configuration succeeded.",
            registry=registry,
        )
        self.succeeded_at = Gauge(
            "watcher_config_last_reload_success_timestamp_seconds",
            "Unix time of the last successful reload of the configuration.",
            registry=registry,
            unit="seconds",
        )


class HeartbeatFamilies:
    """The heartbeat, if one is configured."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.heartbeats = Families(registry).counter(
            "watcher_heartbeats_total",
            "Total number of heartbeats that were due: sent, failed, or suppressed because the "
            "watcher was not healthy.",
            "outcome",
        )
        self.failing = Gauge(
            "watcher_heartbeat_failing",
            "1 if the receiver did not accept the last heartbeat.",
            registry=registry,
        )
        self.sent_at = Gauge(
            "watcher_heartbeat_last_success_timestamp_seconds",
            "Unix time of the last heartbeat that the receiver accepted.",
            registry=registry,
            unit="seconds",
        )


def events(registry: CollectorRegistry) -> Family[Counter]:
    """Return the family that counts stored events, by type."""
    return Families(registry).counter(
        "watcher_events_total", "Total number of events that were stored.", "type"
    )
