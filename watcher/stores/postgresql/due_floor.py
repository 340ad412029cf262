"""From which time on deliveries are searched for that are due.

A search begins at the earliest entry of an index. Behind an old snapshot of another program the
entries of delivered ones stay, thousands of them, and each search would read them all. So a whole
search is made every `_WHOLE_EVERY` seconds; each of those between begins a little before the
earliest that the one before it has found. What this process stores with an earlier time, and slots
that it did not serve before, lead to a whole search at once.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence

from watcher.core.deliveries import DueDelivery

_WHOLE_EVERY = 10.0
"""Seconds between two whole searches: another replica may have stored an earlier time."""
_MARGIN = 5.0
"""Seconds by which the searches between begin earlier: clocks of replicas differ."""


class DueFloor:
    """The searches of one channel; `monotonic` counts seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._floor = -math.inf
        self._whole_at = -math.inf
        self._slots: Sequence[int] | None = None
        self._stored = math.inf
        """The earliest moment that was stored since the last search began."""

    def begin(self, slots: Sequence[int] | None) -> float:
        """Return the earliest `next_attempt_at` that the next search, of these slots, has to
        consider. In a slot that is new here, deliveries may have been due for long.
        """
        if slots != self._slots:
            self._whole_at = -math.inf
        self._slots, self._stored = slots, math.inf
        return self._floor if self._monotonic() < self._whole_at else -math.inf

    def searched(self, begun: float, now: float, found: Sequence[DueDelivery]) -> None:
        """Note what a search from `begun` on has found at Unix time `now`, the soonest first. It
        may have missed what was stored since.
        """
        earliest = min((one.next_attempt_at or 0.0 for one in found), default=now)
        floor = min(earliest, now, self._stored) - _MARGIN
        if begun == -math.inf:
            self._floor = floor
            self._whole_at = self._monotonic() + _WHOLE_EVERY
        else:
            self._floor = max(self._floor, floor)

    def stored(self, moment: float) -> None:
        """Note that a delivery is due at `moment` in Unix seconds; minus infinity if unknown."""
        self._stored = min(self._stored, moment)
        if moment < self._floor:
            self._whole_at = -math.inf


class DueFloors:
    """The searches by channel. What a transaction stores is noted within it, and counts once it has
    ended: a search that begins before sees nothing of it.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._by_channel: defaultdict[str, DueFloor] = defaultdict(lambda: DueFloor(monotonic))
        self._noted: list[tuple[str | None, float]] = []

    def of(self, channel: str) -> DueFloor:
        """Return the searches of a channel."""
        return self._by_channel[channel]

    def note(self, channel: str | None, moment: float = -math.inf) -> None:
        """Note that a delivery to a channel, None for any, is due at a moment from now on."""
        self._noted.append((channel, moment))

    def apply(self) -> None:
        """The transaction has ended."""
        noted, self._noted = self._noted, []
        for channel, moment in noted:
            floors = self._by_channel.values() if channel is None else [self.of(channel)]
            for floor in floors:
                floor.stored(moment)
