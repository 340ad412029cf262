"""The circuit breaker of a channel: after many failures in a row only probes are sent. Pure."""

from collections.abc import Iterable

BREAKER_AFTER = 10
"""Failures in a row, of more than one delivery, that open the breaker."""
REJECTED_AFTER = 5
"""Rejections in a row, with nothing accepted between, that open the breaker."""

_MAX_PROBE_INTERVAL = 30.0  # seconds
_REJECTED_PROBE_INTERVAL = 60.0
"""Seconds between two probes of a receiver that rejects everything."""


class CircuitBreaker:
    """Opens after `BREAKER_AFTER` failed requests in a row, or after `REJECTED_AFTER` rejected
    ones. A single delivery does not open it: its own schedule suffices, and a rejection may concern
    it alone.
    """

    def __init__(self) -> None:
        self._failures_in_a_row = 0
        self._rejections_in_a_row = 0
        self._failed_deliveries: set[int] = set()
        self._rejected_deliveries: set[int] = set()
        self._single_probes = False

    @property
    def is_open(self) -> bool:
        """Whether one delivery at a time may be sent, as a probe."""
        failed = self._failures_in_a_row >= BREAKER_AFTER and self.several_failed
        return failed or self.rejects_everything or self._single_probes

    @property
    def rejects_everything(self) -> bool:
        return self.several_rejected and self._rejections_in_a_row >= REJECTED_AFTER

    @property
    def several_rejected(self) -> bool:
        return len(self._rejected_deliveries) > 1

    @property
    def several_failed(self) -> bool:
        return len(self._failed_deliveries) > 1

    @property
    def none_failed(self) -> bool:
        return not self._failed_deliveries and not self._rejections_in_a_row

    def delivery_failed(self, delivery_id: int) -> None:
        self._failed_deliveries.add(delivery_id)

    def request_failed(self) -> None:
        """Count one failed request, which may have held several deliveries."""
        self._failures_in_a_row += 1

    def request_rejected(self, delivery_ids: Iterable[int]) -> None:
        """Count one rejected request, which held these deliveries."""
        self._rejections_in_a_row += 1
        self._rejected_deliveries.update(delivery_ids)

    def open_for_probes(self) -> None:
        """Open until a delivery succeeds: the receiver has demanded a very long pause."""
        self._single_probes = True

    def reset(self) -> None:
        """Close the breaker: a delivery succeeded, or an operator demands attempts."""
        self._failures_in_a_row = 0
        self._rejections_in_a_row = 0
        self._failed_deliveries.clear()
        self._rejected_deliveries.clear()
        self._single_probes = False

    def probe_interval(self) -> float:
        """Return the seconds between two probes: 1 s, doubling up to 30 s; 60 s while everything is
        rejected.
        """
        if self.rejects_everything:
            return _REJECTED_PROBE_INTERVAL
        exponent = max(min(self._failures_in_a_row - BREAKER_AFTER, 16), 0)
        return min(2.0**exponent, _MAX_PROBE_INTERVAL)
