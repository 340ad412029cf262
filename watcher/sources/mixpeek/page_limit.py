"""How many task IDs one request of the list may hold: learnt from requests that fail or come back
cut, because a deployment may limit bodies, filters or pages, and does not say so.

A limit is not for ever: a larger request is tried after a minute, later after up to ten.
"""

from watcher.core.cooldown import Now
from watcher.sources.mixpeek.pagination import PAGE_SIZE

_FIRST_TRIAL_AFTER = 60.0  # seconds
_LONGEST_TRIAL_AFTER = 600.0  # seconds
_NEXT_TRIAL_AFTER = 10.0
"""Seconds between two trials that work."""
_CLOSE = 8
"""The limit is known closely enough once it is known to an eighth."""


class PageLimit:
    """`works` is the largest size known to work, `fails` the smallest known to fail, if any.

    No size is larger than `most`.
    """

    def __init__(self, now: Now, most: int = PAGE_SIZE) -> None:
        self.works = most
        self._most = most
        self.fails: int | None = None
        self._now = now
        self._trial_at = 0.0
        self._delay = _FIRST_TRIAL_AFTER

    @property
    def size(self) -> int:
        """The most IDs to request now: `works`, or more from time to time, to try it."""
        if self.fails is None or self._now() < self._trial_at:
            return self.works
        middle = (self.works + self.fails) // 2
        known_closely = middle - self.works <= self.works // _CLOSE
        return min(self.works * 2, self._most) if known_closely else middle

    def restore(self, size: int) -> None:
        """Begin with a size, as if larger ones had just failed."""
        if size < self._most:
            self.works, self.fails = size, self._most
            self._trial_at = self._now() + _FIRST_TRIAL_AFTER

    def requested(self, count: int) -> None:
        """Note that a request with `count` IDs is sent: one trial at a time is enough."""
        if count > self.works:
            self._trial_at = self._now() + self._delay

    def worked(self, count: int) -> None:
        """Note that a request with `count` IDs was answered in full."""
        if count <= self.works:
            return
        self.works = count
        if self.fails is not None and count >= self.fails:
            self.fails = None if count >= self._most else self._most
        self._delay = _FIRST_TRIAL_AFTER
        self._trial_at = self._now() + _NEXT_TRIAL_AFTER

    def failed(self, count: int, *, works: int) -> None:
        """Note that a request with `count` IDs did not work, and that one with `works` did."""
        if count <= works:
            return
        if self.fails is not None and count > self.works:
            self._delay = min(self._delay * 2, _LONGEST_TRIAL_AFTER)
        self.fails = count if self.fails is None else min(self.fails, count)
        self.works = max(works, 1) if count <= self.works else max(self.works, works)
        self._trial_at = self._now() + self._delay
