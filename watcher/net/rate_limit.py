"""The request budget of one route of a source: a rate limit, and pauses that upstream requested.

The configured limit is never exceeded; in no 60 s, and not across a restart either. Within it the
budget adapts to upstream's responses. Limits that their headers state are kept
(`learnt_limits.py`); the number of remaining requests takes away what another client of the same
key has spent, and at 0 nothing is sent until the reset. A 429 shows that upstream's limit is lower
than ours: the limit is halved. It grows back by one a minute; after a series of 429s it first
doubles each minute, up to half of what it was before the first, because a series shows that
upstream rejects everything rather than how much it allows.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress

import anyio

from watcher.core.cooldown import Now
from watcher.core.errors import StoreError
from watcher.core.interfaces.budgets import SharedBudgets
from watcher.net.learnt_limits import LearntLimits
from watcher.net.rate_limit_headers import rate_limits
from watcher.net.route_pause import RoutePause
from watcher.net.shared_bucket import SharedBucket
from watcher.net.token_bucket import TokenBucket

logger = logging.getLogger(__name__)

_MINUTE = 60.0
_GROWTH_EVERY = 60.0  # seconds
_HALVE_AT_MOST_EVERY = 10.0  # seconds
_SERIES = 120.0
"""Seconds between two 429s of one series."""
_SHORTEST_WAIT = 0.001  # a shorter one could be lost in rounding, and never end
_LONGEST_RESET = 60.0
"""Seconds. A reset may be in another unit, or of another window; then a probe shows it."""


class RouteBudget:
    """The budget of one route.

    `limit` is in requests per `window` of seconds; None means unlimited. `now` returns monotonic
    seconds. `plans` are the limits that upstream sells, ascending: requests per minute and the
    plan's name. After a 429 they suggest a value for the setting.

    With `shared`, each request is also taken from the budget of this name that all replicas share.
    While that store fails no request is sent: its answer could not be stored.
    """

    def __init__(
        self,
        route: str,
        limit: int | None,
        now: Now,
        plans: Sequence[tuple[int, str]] = (),
        *,
        window: float = _MINUTE,
        shared: SharedBudgets | None = None,
    ) -> None:
        self.pause = RoutePause(now)
        self._route = route
        self._setting = limit
        self._limit = limit
        self._now = now
        self._plans = plans
        self._window = window
        self._growth = max(round(window / _MINUTE), 1)  # one a minute
        self._bucket = None if limit is None else TokenBucket(limit, window, now)
        self._learnt = LearntLimits(now)
        self._halved_at = -_SERIES
        self._doubles_until = 0
        self._grown_at = now()
        self._warned = False
        self._lock = anyio.Lock()
        self._shared = None if shared is None else SharedBucket(shared, route, now)
        self._shared_from = -math.inf
        self._waits_for_shared = False

    @property
    def limited(self) -> bool:
        return self._bucket is not None

    @property
    def spacing(self) -> float:
        """Seconds between two requests in the long run; 0 without a limit."""
        return 0.0 if self._bucket is None else self._bucket.spacing

    async def spend(self) -> None:
        """Wait until a request may be sent, and count it; if cancelled while waiting, do not."""
        async with self._lock:
            try:
                while (wait := self.wait() or await self._take()) > 0:
                    with anyio.move_on_after(max(wait, _SHORTEST_WAIT)):
                        await self.pause.changed.wait(self.pause.changed.generation)
            finally:
                self._waits_for_shared = False
            self.pause.admitted()
            if self._bucket is not None:
                self._bucket.spend()
                self._learnt.spend()

    def give_back(self) -> None:
        """Take back a request that was sent and brought nothing, from what is left over while all
        of the budget is used. A shared budget does not know what is left over.
        """
        if self._bucket is not None and self._shared is None:
            self._bucket.give_back()
            self._learnt.give_back()
            self.pause.changed.set()

    def wait(self) -> float:
        """Return the seconds until the next request may be sent, at most five minutes."""
        pause = self.pause.remaining()
        if self._bucket is None:
            return pause
        self._grow()
        shared = self._shared_from - self._now()
        return max(pause, shared, self._bucket.wait(), self._learnt.wait())

    async def _take(self) -> float:
        """Take a request from the shared budget; return 0, or the seconds until there is one."""
        if self._shared is None or self._bucket is None:
            return 0.0
        wait = await self._shared.take(*self._bucket.shape)
        self._shared_from = self._now() + wait
        self._waits_for_shared = wait > 0
        return wait

    async def share_pause(self) -> None:
        """Let the other replicas pause as well, for as long as this one does."""
        seconds = self.pause.remaining()
        if self._shared is None or self._bucket is None or not seconds:
            return
        with suppress(StoreError):  # each of them then learns it from upstream
            await self._shared.pause(seconds)

    def remaining(self) -> float:
        """Return how many requests this process could send now; infinity without a limit. What a
        shared budget holds is known only while this process waits for it: nothing.
        """
        if self.pause.remaining() or self._waits_for_shared:
            return 0.0
        if self._bucket is None:
            return float("inf")
        self._grow()
        return min(self._bucket.tokens, self._learnt.remaining())

    def rate_limited(self) -> None:
        """Halve the limit after a 429. Several within a few seconds count as one.

        A single probe after a pause cannot have been too fast: that limit is another one.
        """
        now = self._now()
        if (
            self._bucket is None
            or self._limit is None
            or self.pause.probing
            or now - self._halved_at < _HALVE_AT_MOST_EVERY
        ):
            return
        self._grow()
        if not self._warned:
            logger.warning("%s: rate limited by upstream (429) at %s; %s", *self._advice())
            self._warned = True
        if now - self._halved_at >= _SERIES:
            self._doubles_until = self._limit // 2
        self._limit = max(self._limit // 2, 1)
        self._bucket.change(self._limit, self._window)
        self._bucket.lower(0.0)
        self._halved_at = self._grown_at = now

    def apply_headers(self, headers: Mapping[str, str], wall: float) -> None:
        """Apply the rate-limit headers of a response received at Unix time `wall`.

        Without a configured limit only a remaining number of 0 has an effect.
        """
        limits = rate_limits(headers, wall)
        if not limits:
            return
        if self._bucket is not None:
            self._learnt.apply(limits)
        for limit in limits:
            if limit.remaining is None:
                continue
            if self._bucket is not None:
                self._bucket.lower(limit.remaining)
            if limit.remaining < 1 and limit.reset_after is not None:
                self.pause.start(min(limit.reset_after, _LONGEST_RESET))

    def _advice(self) -> tuple[str, str, str]:
        period = "a minute" if self._window == _MINUTE else f"in {self._window:g} s"
        smaller = [(limit, plan) for limit, plan in self._plans if limit < (self._setting or 0)]
        if not smaller:
            advice = "another client probably uses the same key"
        else:
            limit, plan = smaller[-1]
            advice = f"the key is probably on the {plan} plan: set requests_per_minute to {limit}"
        return self._route, f"{self._limit or 0} requests {period}", advice

    def _grow(self) -> None:
        """Let a limit that was halved grow back."""
        steps = int((self._now() - self._grown_at) / _GROWTH_EVERY)
        if not steps:
            return
        self._grown_at += steps * _GROWTH_EVERY
        if not (self._bucket and self._limit and self._setting):
            return
        limit = self._limit
        while steps and limit < self._setting:
            doubled = min(limit * 2, self._doubles_until)
            limit = max(doubled, min(limit + self._growth, self._setting))
            steps -= 1
        if limit != self._limit:
            self._limit = limit
            self._bucket.change(limit, self._window)
