"""What the attempts so far say about a receiver. Pure: time is an argument, in Unix seconds."""

from collections.abc import Iterable

from watcher.core.errors import DeliveryError, Disposition
from watcher.delivery.circuit_breaker import CircuitBreaker
from watcher.delivery.claims import PROBE_INTERVAL

MIN_OUTAGE = 10.0
"""Seconds of failures after which a success means that the channel has recovered."""


class ReceiverRecord:
    """Since when the receiver has failed, with which error, and whether only probes make sense.

    A receiver that rejects one delivery among others that it accepts does not fail: the delivery is
    to blame. It fails if it rejects several in a row, or has accepted none yet.
    """

    def __init__(self) -> None:
        self.breaker = CircuitBreaker()
        self.failing_since: float | None = None
        self.last_error: DeliveryError | None = None
        self._rejected_since: float | None = None
        self._has_accepted = False
        self._order_lost = False
        self._places_lost = False

    def restore(self, failing_since: float | None) -> None:
        """Continue an outage that began before a restart."""
        self.failing_since = failing_since
        self._order_lost = failing_since is not None

    def delivery_failed(self, delivery_id: int, error: DeliveryError, now: float) -> bool:
        """Note a failure that is not due to the payload; return whether an outage begins."""
        self.last_error = error
        self.breaker.delivery_failed(delivery_id)
        return self._begin(now)

    def request_rejected(self, ids: Iterable[int], error: DeliveryError, now: float) -> bool:
        """Note a rejected request (4xx) with these deliveries; return whether an outage begins."""
        self.last_error = error
        self._places_lost |= not self.breaker.rejects_everything
        self.breaker.request_rejected(ids)
        if self._rejected_since is None:
            self._rejected_since = now
        self._order_lost |= self.breaker.rejects_everything
        concerns_receiver = self.breaker.several_rejected or not self._has_accepted
        return concerns_receiver and self._begin(self._rejected_since)

    def request_failed(self, error: DeliveryError) -> None:
        """Count one failed request, however many deliveries it held."""
        if self.failing_since is not None and error.disposition is not Disposition.REJECTED:
            self.breaker.request_failed()

    def probe_only(self) -> None:
        """Send one delivery at a time until one succeeds."""
        self.breaker.open_for_probes()
        self._order_lost = True

    def delivered(self, attempted_at: float) -> float | None:
        """Note a success. If it ends an outage, return the time before which attempts are due
        again.
        """
        breaker, since = self.breaker, self.failing_since
        # One delivery that fails among others that succeed does not count as an outage: it is not
        # attempted more often than probes are.
        lasted = since is not None and attempted_at - since >= MIN_OUTAGE
        outage = (breaker.several_failed and lasted) or breaker.rejects_everything
        restarted = breaker.none_failed
        self.failing_since = self._rejected_since = None
        self._has_accepted, self._places_lost = True, False
        breaker.reset()
        if since is None:
            return None
        return attempted_at if outage or restarted else attempted_at - PROBE_INTERVAL

    def forget(self) -> None:
        """Forget what speaks against attempts: an operator, or a changed setting, demands them."""
        self.breaker.reset()
        self._rejected_since = None

    def take_order_lost(self) -> bool:
        """Return whether deliveries may have been bypassed in an outage; then forget it."""
        lost, self._order_lost = self._order_lost, False
        return lost

    def take_places_lost(self) -> bool:
        """Return whether rejected deliveries have let others pass, and the receiver has turned out
        to reject everything; then forget it.
        """
        lost = self._places_lost and self.breaker.rejects_everything
        self._places_lost = self._places_lost and not lost
        return lost

    def places_not_stored(self) -> None:
        """Note that the places could not be given back."""
        self._places_lost = True

    def clock_jumped(self, seconds: float) -> None:
        """Note a jump of the wall clock: the receiver has failed for as long as before."""
        if self.failing_since is not None:
            self.failing_since += seconds

    def _begin(self, since: float) -> bool:
        if self.failing_since is not None:
            return False
        self.failing_since = since
        return True
