"""A token bucket.

With a limit of L a window it holds burst = max(1, L/12), refills with L - burst a window, and is
empty after a start. In any window at most its content plus its refill can be spent:
burst + (L - burst) = L. With L = 1 the refill would be 0; there it is slightly less than one.

While all is spent as it comes, the bucket never fills, so that much of the burst is left over. From
it requests that brought nothing are given back. With R of them given back and at most P tokens held
in a window, it spends at most P + R + (L - burst), which is no more than L while P + R <= burst.
"""

from collections import deque

from watcher.core.cooldown import Now

LONGEST_WAIT = 300.0
"""Seconds. Whatever a limit is, one request is sent after this time, to see whether it still is."""

_GUARD = 1.02  # for clock differences and varying network delays
_ROUNDING = 1e-9


class TokenBucket:
    """At most `limit` requests in any `window` seconds. `now` returns monotonic seconds."""

    def __init__(self, limit: float, window: float, now: Now, tokens: float = 0.0) -> None:
        self._now = now
        self._filled_at = now()
        self._tokens = tokens
        self._peaks = (tokens, tokens)
        self._peaks_at = self._filled_at
        self._given_back: deque[float] = deque()
        self._set(limit, window)

    @property
    def tokens(self) -> float:
        """How many requests could be sent now."""
        now = self._now()
        filled = self._tokens + (now - self._filled_at) * self._rate
        self._tokens = min(filled, self._burst)
        self._filled_at = now
        return self._tokens

    @property
    def shape(self) -> tuple[float, float]:
        """The most that the bucket holds, and what it gains a second."""
        return self._burst, self._rate

    @property
    def spacing(self) -> float:
        """Seconds between two requests in the long run."""
        return 1 / self._rate

    def change(self, limit: float, window: float) -> None:
        """Set another limit."""
        self._tokens = self.tokens
        self._set(limit, window)

    def lower(self, tokens: float) -> None:
        """Take the tokens above `tokens` away."""
        self._tokens = min(self.tokens, tokens)

    def wait(self) -> float:
        """Return the seconds until a request may be sent, at most `LONGEST_WAIT`."""
        missing = 1 - self.tokens
        return missing / self._rate if missing > _ROUNDING else 0.0

    def spend(self) -> None:
        """Count a request."""
        self._note_peak()
        self._tokens = self.tokens - 1

    def give_back(self) -> None:
        """Take back a request that brought nothing, if that exceeds no limit."""
        peak, now = self._note_peak(), self._filled_at
        while self._given_back and self._given_back[0] <= now - self._period:
            self._given_back.popleft()
        if peak + len(self._given_back) + 1 <= self._burst + _ROUNDING:
            self._given_back.append(now)
            self._tokens += 1

    def _note_peak(self) -> float:
        """Return the most tokens in the last window, or in a longer time."""
        tokens = self.tokens
        previous, latest = self._peaks
        windows = (self._filled_at - self._peaks_at) // self._period
        if windows:
            previous, latest = latest if windows == 1 else tokens, tokens
            self._peaks_at += windows * self._period
        self._peaks = previous, max(latest, tokens)
        return max(self._peaks)

    def _set(self, limit: float, window: float) -> None:
        self._period = window * _GUARD
        self._burst = max(1.0, limit / 12)
        self._rate = max((limit - self._burst or 1.0) / window / _GUARD, 1 / LONGEST_WAIT)
        self._tokens = min(self._tokens, self._burst)
