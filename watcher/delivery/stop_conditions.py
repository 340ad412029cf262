"""When a channel has to stop: its endpoint no longer exists (410), or it has failed for days.

Pure: time is an argument, in Unix seconds.
"""

from typing import NamedTuple

from watcher.core.channels import SuspensionKind
from watcher.core.errors import DeliveryError


class Stop(NamedTuple):
    """A suspension that the attempts demand."""

    kind: SuspensionKind
    reason: str


class StopConditions:
    """What speaks for a stop of one channel, which is off after `off_after` seconds of failures."""

    def __init__(self, off_after: float) -> None:
        self._off_after = off_after
        self._failures_count_from = 0.0
        self.gone_error: DeliveryError | None = None
        """The 410 that demands a stop; None without one. Read for every delivery that is sent."""

    def gone(self, error: DeliveryError) -> None:
        """Note that the endpoint no longer exists."""
        self.gone_error = error

    def stop_is_stored(self) -> None:
        """Forget a 410: the suspension that it demands is stored."""
        self.gone_error = None

    def resumed(self, now: float) -> None:
        """Note that sending is resumed: what was answered before speaks for no stop."""
        self.gone_error = None
        self._failures_count_from = now

    def met(
        self, failing_since: float | None, last_error: DeliveryError | None, now: float
    ) -> Stop | None:
        """Return the suspension that is demanded now, if any."""
        if self.gone_error is not None:
            return Stop(SuspensionKind.STOPPED, str(self.gone_error))
        if failing_since is None:
            return None
        if now - max(failing_since, self._failures_count_from) < self._off_after:
            return None
        days = self._off_after / 86400
        return Stop(SuspensionKind.OFF, f"no success for {days:g} days ({last_error})")
