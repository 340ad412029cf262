"""Pauses of one route that upstream requested, each followed by a probe.

A pause lasts at most `LONGEST_PAUSE`, however long upstream named: a mistaken `Retry-After` of a
day must not blind the watcher. When it is over, one request goes first; the others wait for its
answer.
"""

import math

from watcher.core.cooldown import Cooldown, Now
from watcher.core.wakeup import Wakeup

LONGEST_PAUSE = 300.0
"""Seconds without a request."""

_UNSENT_FOR = 2.0
"""Seconds after which an admitted probe that was not sent no longer keeps others waiting."""


class RoutePause:
    """`now` returns monotonic seconds. `changed` is set when the others need not wait any more."""

    def __init__(self, now: Now) -> None:
        self.changed = Wakeup()
        self._now = now
        self._cooldown = Cooldown(now)
        self._probe_from = 0.0
        self._probing = False
        self._probe_until = 0.0

    @property
    def probing(self) -> bool:
        """Whether no request has succeeded since the last pause."""
        return self._probing

    def start(self, seconds: float | None) -> None:
        """Pause for `seconds`; None if upstream named no time, see `Cooldown`."""
        self._cooldown.start(None if seconds is None else min(seconds, LONGEST_PAUSE))
        if remaining := self._cooldown.remaining():
            self._probing = True
            self._probe_from = self._now() + remaining
            self._probe_until = 0.0

    def remaining(self) -> float:
        """Return the seconds until a request may be admitted, unless a probe ends before."""
        if not self._probing:
            return 0.0
        return max(self._cooldown.remaining(), self._probe_until - self._now(), 0.0)

    def named(self) -> float:
        """Return what remains of the time that upstream named."""
        return self._cooldown.remaining(guesses=False) if self._probing else 0.0

    def admitted(self) -> None:
        """Note that a request was admitted: after a pause it is the probe."""
        if self._probing:
            self._probe_until = self._now() + _UNSENT_FOR

    def sent(self, timeout: float) -> None:
        """Note that a request was sent, which ends within `timeout` seconds."""
        if self._probing:
            self._probe_until = self._now() + timeout

    def succeeded(self, sent_at: float) -> None:
        """Note a success of a request sent at monotonic time `sent_at`."""
        self._cooldown.succeeded()
        if sent_at >= self._probe_from:
            self._probing = False
        self.released(sent_at)

    def released(self, sent_at: float = math.inf) -> None:
        """Note that a request ended without a success, or was not sent: another one may probe."""
        if self._probe_until and sent_at >= self._probe_from:
            self._probe_until = 0.0
            self.changed.set()
