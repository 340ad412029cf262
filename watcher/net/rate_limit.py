"""The request budget of one route of a source: a rate limit, and pauses that upstream requested.

A token bucket: with a limit of L a minute it holds burst = max(1, L/12), refills with L - burst a
minute, and is empty after a start. In any 60 s at most its content plus its refill can be spent:
burst + (L - burst) = L, across a restart too, because it starts empty. With L = 1 the refill would
be 0; there it is slightly less than one a minute.

The budget adapts to upstream's responses. `X-RateLimit-Limit` lowers the limit;
`X-RateLimit-Remaining` removes the tokens that another client of the same key has spent, and at 0
nothing is sent until `X-RateLimit-Reset`. A 429 shows that upstream's limit is lower than ours: the
limit is halved, and grows back by one a minute.
"""

import logging
from collections.abc import Mapping, Sequence

import anyio

from watcher.core.cooldown import Cooldown, Now

logger = logging.getLogger(__name__)

_MINUTE = 60.0
_GUARD = 1.02  # for clock differences and varying network delays
_GROWTH_EVERY = 60.0
_HALVE_AT_MOST_EVERY = 10.0
_EPOCH = 1e9  # a larger X-RateLimit-Reset is a Unix time, not a number of seconds


class RouteBudget:
    """The token bucket of one route.

    `limit` is in requests a minute; None means unlimited. `now` returns monotonic seconds. `plans`
    are the limits that upstream sells, ascending: requests per minute and the plan's name. After a
    429 they suggest a value for the setting.
    """

    def __init__(
        self, route: str, limit: int | None, now: Now, plans: Sequence[tuple[int, str]] = ()
    ) -> None:
        self.pause = Cooldown(now)
        self._route = route
        self._setting = limit
        self._limit = limit
        self._now = now
        self._plans = plans
        self._tokens = 0.0
        self._filled_at = now()
        self._halved_at = -_MINUTE
        self._grown_at = now()
        self._warned = False
        self._lock = anyio.Lock()

    async def spend(self) -> None:
        """Wait until a request may be sent, and count it; if cancelled while waiting, do not."""
        async with self._lock:
            while True:
                wait = self.wait()
                if wait <= 0:
                    break
                await anyio.sleep(wait)
            if self._limit is not None:
                self._tokens -= 1

    def wait(self) -> float:
        """Return the seconds until the next request may be sent."""
        pause = self.pause.remaining()
        if self._limit is None:
            return pause
        self._fill()
        missing = 1 - self._tokens
        return max(pause, missing / self._rate(self._limit) if missing > 1e-9 else 0.0)

    def remaining(self) -> float:
        """Return how many requests could be sent now; infinity without a limit."""
        if self.pause.remaining():
            return 0.0
        if self._limit is None:
            return float("inf")
        self._fill()
        return self._tokens

    def rate_limited(self) -> None:
        """Halve the limit after a 429. Several within a few seconds count as one."""
        now = self._now()
        if (
            self._limit is None
            or self._setting is None
            or now - self._halved_at < _HALVE_AT_MOST_EVERY
        ):
            return
        self._fill()
        if not self._warned:
            logger.warning(
                "%s: rate limited by upstream (429) at %d requests a minute; %s", *self._advice()
            )
            self._warned = True
        self._limit = max(self._limit // 2, 1)
        self._tokens = min(self._tokens, 0.0)
        self._halved_at = self._grown_at = now

    def apply_headers(self, headers: Mapping[str, str], wall: float) -> None:
        """Apply the `X-RateLimit-*` headers of a response received at Unix time `wall`.

        Without a configured limit only a `Remaining` of 0 has an effect.
        """
        limit = _number(headers, "x-ratelimit-limit")
        remaining = _number(headers, "x-ratelimit-remaining")
        if limit is not None and limit >= 1 and self._setting is not None:
            self._lower(int(limit))
        if remaining is None:
            return
        if self._limit is not None:
            self._fill()
            self._tokens = min(self._tokens, remaining)
        if remaining < 1 and (reset := _number(headers, "x-ratelimit-reset")) is not None:
            seconds = reset - wall if reset > _EPOCH else reset
            # The window is a minute; a longer pause would be a mistake without an end.
            self.pause.start(min(max(seconds, 0.0), _MINUTE))

    def _lower(self, limit: int) -> None:
        setting = self._setting
        if setting is None or limit >= setting or self._limit is None:
            return
        self._fill()
        logger.info("%s: upstream's limit is %d requests a minute; using it", self._route, limit)
        self._setting = limit
        self._limit = min(self._limit, limit)
        self._tokens = min(self._tokens, _burst(self._limit))

    def _advice(self) -> tuple[str, int, str]:
        smaller = [(limit, plan) for limit, plan in self._plans if limit < (self._setting or 0)]
        if not smaller:
            advice = "another client probably uses the same key"
        else:
            limit, plan = smaller[-1]
            advice = f"the key is probably on the {plan} plan: set requests_per_minute to {limit}"
        return self._route, self._limit or 0, advice

    def _fill(self) -> None:
        now = self._now()
        if self._limit is None or self._setting is None:
            return
        burst = _burst(self._limit)
        self._tokens = min(self._tokens + (now - self._filled_at) * self._rate(self._limit), burst)
        self._filled_at = now
        grown = int((now - self._grown_at) / _GROWTH_EVERY)
        if grown and self._limit < self._setting:
            self._limit = min(self._limit + grown, self._setting)
        self._grown_at += grown * _GROWTH_EVERY

    def _rate(self, limit: int) -> float:
        """Return the refill rate in tokens a second."""
        return (max(limit - _burst(limit), 0.0) or 1.0) / _MINUTE / _GUARD


def _burst(limit: int) -> float:
    return max(1.0, limit / 12)


def _number(headers: Mapping[str, str], name: str) -> float | None:
    """Return the number in a header; None if it is absent or invalid."""
    text = headers.get(name, "").strip()
    return float(text[:20]) if text.isascii() and text.isdigit() else None
