"""How many requests a minute one route of a source may be sent, and for how long it wants none at all.

A token bucket: with a limit of L a minute it holds burst = max(1, L/12), fills with L - burst a minute, and is empty
after a start. In any 60 s there can be spent at most what it held plus what it filled: burst + (L - burst) = L, across
a restart too, since it starts empty. With L = 1 the rate would be 0; there it gives one a minute and a bit.

What upstream says counts, too. `X-RateLimit-Limit` lowers the limit; `X-RateLimit-Remaining` takes away tokens that
another client of the same key has spent, and at 0 nothing is sent until `X-RateLimit-Reset`. A 429 shows that upstream
counts more strictly than is known: the limit is halved, and grows back by one a minute.
"""

import logging
from collections.abc import Mapping, Sequence

import anyio

from watcher.core.cooldown import Cooldown, Now

logger = logging.getLogger(__name__)

_MINUTE = 60.0
_GUARD = 1.02  # upstream's clock and ours, and the way to it, differ a little
_GROWTH_EVERY = 60.0
_HALVE_AT_MOST_EVERY = 10.0
_EPOCH = 1e9  # a Reset beyond this is a date and not a number of seconds


class RouteBudget:
    """The token bucket of one route. `limit` is requests a minute; None sets no limit of ours.

    `now` returns monotonic seconds. `plans` are the limits that upstream sells, ascending: requests per minute and the
    plan's name. After a 429 they suggest the setting to use.
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
        self._turn = anyio.Lock()

    async def spend(self) -> None:
        """Wait until a request may be sent, and count it. Cancelled while waiting, nothing is counted."""
        async with self._turn:
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

    def refused(self) -> None:
        """Note a 429: upstream allows less than this. Several at once count as one."""
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
                "%s: more than upstream allows (429) at %d requests a minute; %s", *self._advice()
            )
            self._warned = True
        self._limit = max(self._limit // 2, 1)
        self._tokens = min(self._tokens, 0.0)
        self._halved_at = self._grown_at = now

    def informed(self, headers: Mapping[str, str], wall: float) -> None:
        """Learn from an answer's `X-RateLimit-*` headers; `wall` is Unix seconds, for a reset given as a date.

        A setting of None stays without a limit, but waits all the same once nothing remains.
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
            # The window is a minute; who says more is wrong, and would be believed for ever.
            self.pause.start(min(max(seconds, 0.0), _MINUTE))

    def _lower(self, told: int) -> None:
        setting = self._setting
        if setting is None or told >= setting or self._limit is None:
            return
        self._fill()
        logger.info(
            "%s: upstream allows %d requests a minute; that is kept from now on", self._route, told
        )
        self._setting = told
        self._limit = min(self._limit, told)
        self._tokens = min(self._tokens, _burst(self._limit))

    def _advice(self) -> tuple[str, int, str]:
        smaller = [(limit, plan) for limit, plan in self._plans if limit < (self._setting or 0)]
        if not smaller:
            advice = "another client seems to share the key"
        else:
            limit, plan = smaller[-1]
            advice = f"the key seems to be on the {plan} plan: set requests_per_minute to {limit}"
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
        """Return requests a second."""
        return (max(limit - _burst(limit), 0.0) or 1.0) / _MINUTE / _GUARD


def _burst(limit: int) -> float:
    return max(1.0, limit / 12)


def _number(headers: Mapping[str, str], name: str) -> float | None:
    """Return the header's number; None where it is absent or says nothing."""
    text = headers.get(name, "").strip()
    return float(text[:20]) if text.isascii() and text.isdigit() else None
