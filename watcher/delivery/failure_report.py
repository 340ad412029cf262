"""What the log and the metrics show while the attempts of a channel fail."""

import logging

import anyio

from watcher.core.errors import DeliveryError
from watcher.core.log_fields import about
from watcher.delivery.context import DeliveryContext
from watcher.telemetry.throttle import LogThrottle

logger = logging.getLogger(__name__)


class FailureReport:
    """Each outage and each opening of the circuit breaker is logged once."""

    def __init__(self, context: DeliveryContext) -> None:
        self._name = context.name
        self._metrics = context.metrics
        self._log_throttle = LogThrottle(anyio.current_time)
        self._breaker_logged = False

    def outage_began(self, error: DeliveryError) -> None:
        if self._log_throttle.ready("failing"):
            logger.warning(
                "channel %r: delivery failed (%s); will retry",
                self._name,
                error,
                extra=about(channel=self._name),
            )

    def failing(self, error: DeliveryError) -> None:
        self._metrics.failing(error.reason)

    def breaker(self, error: DeliveryError, *, is_open: bool) -> None:
        """Show whether only probes are sent since this error."""
        if is_open and not self._breaker_logged:
            self._breaker_logged = True
            logger.warning(
                "channel %r: circuit breaker opened (%s); sending probes only",
                self._name,
                error,
                extra=about(channel=self._name),
            )
        self._metrics.breaker(is_open)

    def recovered(self) -> None:
        self._breaker_logged = False
        self._metrics.breaker(False)
        self._metrics.failing(None)
