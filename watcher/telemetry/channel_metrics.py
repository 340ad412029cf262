"""The metrics of one channel."""

from prometheus_client import Gauge

from watcher.core.channels import SuspensionKind
from watcher.core.errors import DeliveryFailure
from watcher.telemetry.event_counts import EventCounts
from watcher.telemetry.families import ChannelFamilies, DeliveryFamilies

_OUTCOMES = ("delivered", "retried", "failed")


class ChannelMetrics:
    """The metrics of one channel."""

    def __init__(
        self,
        channel: str,
        delivery: DeliveryFamilies,
        state: ChannelFamilies,
        events: EventCounts,
    ) -> None:
        self.event_stored = events.stored
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
        self._failing = {
            reason: state.failing.labels(channel, reason) for reason in DeliveryFailure
        }
        self._reason: DeliveryFailure | None = None

    def alerts_after(self, seconds: float) -> None:
        """Set what alerts compare the age of pending deliveries with."""
        self._alert_after.set(seconds)

    def delivered(self, event_id: str, *, duration: float, latency: float, at: float) -> None:
        """Count a success.

        `duration` is that of the attempt, `latency` the time since the observation, both in
        seconds; `at` is Unix time. The event is the exemplar of its bucket: which one took so long?
        """
        self._outcomes["delivered"].inc()
        self._duration.observe(max(duration, 0.0))
        self._latency.observe(max(latency, 0.0), {"event_id": event_id})
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

    def failing(self, reason: DeliveryFailure | None) -> None:
        """Show that the channel accepts nothing, for the first reason given since it last worked;
        None shows that it works.
        """
        if reason is None and self._reason is not None:
            self._failing[self._reason].set(0)
        elif reason is not None and self._reason is None:
            self._failing[reason].set(1)
        else:
            return
        self._reason = reason
