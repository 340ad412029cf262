"""The limits that upstream's responses state, for one route.

A limit is used for the window that is stated with it, never for a minute because none is. Without a
window the counter may prove one: where `remaining` falls with our requests while the moment of
`reset` stays, so many requests are left until then, and they are spread over that time. A sliding
window moves its reset with each request; there, only `remaining` counts.

Each response replaces what the ones before it said, upwards too; what is no longer said is
forgotten.
"""

from collections.abc import Sequence

from watcher.core.cooldown import Now
from watcher.net.rate_limit_headers import RateLimit
from watcher.net.token_bucket import TokenBucket

_FORGOTTEN_AFTER = 600.0
"""Seconds without a statement, or two windows if that is longer."""
_SAME_MOMENT = 1.5  # seconds; most resets are whole seconds
_PROOF = 2
"""Requests by which a counter has to fall within one window."""
_SHORTEST = 0.001  # seconds


class LearntLimits:
    """`now` returns monotonic seconds."""

    def __init__(self, now: Now) -> None:
        self._now = now
        self._by_window: dict[float, TokenBucket] = {}
        self._forget_at = 0.0
        self._countdowns: list[_Countdown] = []

    def apply(self, limits: Sequence[RateLimit]) -> None:
        """Replace what was learnt with what a response states."""
        self._observe([limit for limit in limits if limit.window is None])
        stated: dict[float, RateLimit] = {}
        for limit in limits:
            if limit.window is not None and limit.limit is not None:
                known = stated.setdefault(limit.window, limit)
                if known.limit is None or limit.limit < known.limit:
                    stated[limit.window] = limit
        if stated:
            self._by_window = {
                window: self._bucket(window, limit) for window, limit in stated.items()
            }
            self._forget_at = self._now() + max(2 * max(stated), _FORGOTTEN_AFTER)

    def wait(self) -> float:
        """Return the seconds until these limits allow a request."""
        return max((bucket.wait() for bucket in self._buckets()), default=0.0)

    def remaining(self) -> float:
        """Return how many requests these limits allow now."""
        return min((bucket.tokens for bucket in self._buckets()), default=float("inf"))

    def spend(self) -> None:
        """Count a request."""
        for bucket in self._buckets():
            bucket.spend()

    def give_back(self) -> None:
        """Take back a request that brought nothing."""
        for bucket in self._buckets():
            bucket.give_back()

    def _observe(self, limits: Sequence[RateLimit]) -> None:
        """Note the counters without a window, each at its place among several."""
        while len(self._countdowns) < len(limits):
            self._countdowns.append(_Countdown(self._now))
        for countdown, limit in zip(self._countdowns, limits, strict=False):
            countdown.observe(limit)

    def _bucket(self, window: float, stated: RateLimit) -> TokenBucket:
        limit = stated.limit or 1.0
        bucket = self._by_window.get(window)
        if bucket is None:
            bucket = TokenBucket(limit, window, self._now, stated.remaining or 0.0)
        else:
            bucket.change(limit, window)
        if stated.remaining is not None:
            bucket.lower(stated.remaining)
        return bucket

    def _buckets(self) -> Sequence[TokenBucket]:
        if self._by_window and self._now() >= self._forget_at:
            self._by_window = {}
        proven = [bucket for countdown in self._countdowns if (bucket := countdown.bucket())]
        return [*self._by_window.values(), *proven]


class _Countdown:
    """A counter that falls with our requests until a moment that stays."""

    def __init__(self, now: Now) -> None:
        self._now = now
        self._ends_at = 0.0
        self._first = self._last = 0.0
        self._bucket: TokenBucket | None = None

    def observe(self, limit: RateLimit) -> None:
        remaining, reset_after = limit.remaining, limit.reset_after
        if remaining is None or reset_after is None:
            return
        ends_at = self._now() + reset_after
        if abs(ends_at - self._ends_at) > _SAME_MOMENT or remaining > self._first:
            self._ends_at, self._first, self._last = ends_at, remaining, remaining
            self._bucket = None
        self._last = min(self._last, remaining)
        if self._first - self._last < _PROOF or remaining < 1:
            return
        window = max(reset_after, _SHORTEST)
        if self._bucket is None:
            self._bucket = TokenBucket(remaining, window, self._now, remaining)
        else:
            self._bucket.change(remaining, window)

    def bucket(self) -> TokenBucket | None:
        """Return what spreads the remaining requests; None unless the counter proves a window."""
        return self._bucket if self._now() < self._ends_at else None
