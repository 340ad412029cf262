"""The circuit breaker of a channel: after many failures in a row only probes are sent. Pure."""

BREAKER_AFTER = 10
"""Failures in a row, of more than one delivery, that open the breaker."""

_MAX_PROBE_INTERVAL = 30.0


class CircuitBreaker:
    """Opens after `BREAKER_AFTER` failed requests in a row. A single failing delivery does not open
    it: its own schedule suffices.
    """

    def __init__(self) -> None:
        self._failures_in_a_row = 0
        self._failed_deliveries: set[int] = set()

    @property
    def is_open(self) -> bool:
        """Whether one delivery at a time may be sent, as a probe."""
        return self._failures_in_a_row >= BREAKER_AFTER and self.several_failed

    @property
    def several_failed(self) -> bool:
        return len(self._failed_deliveries) > 1

    @property
    def none_failed(self) -> bool:
        return not self._failed_deliveries

    def delivery_failed(self, delivery_id: int) -> None:
        self._failed_deliveries.add(delivery_id)

    def request_failed(self) -> None:
        """Count one failed request, which may have held several deliveries."""
        self._failures_in_a_row += 1

    def reset(self) -> None:
        """Close the breaker: a delivery succeeded."""
        self._failures_in_a_row = 0
        self._failed_deliveries.clear()

    def probe_interval(self) -> float:
        """Return the seconds between two probes: 1 s, doubling up to 30 s."""
        return min(2.0 ** min(self._failures_in_a_row - BREAKER_AFTER, 16), _MAX_PROBE_INTERVAL)
