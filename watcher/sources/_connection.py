"""Requests to an API, within its rate limit, concurrency limit and pauses: of each route, or of all
routes together.
"""

import codecs
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import anyio
import httpx

from watcher.core.clock import Clock
from watcher.core.errors import SourceError, SourceFailure
from watcher.core.interfaces.budgets import ALL_ROUTES, SharedBudgets
from watcher.net.concurrency_limit import ConcurrencyLimit
from watcher.net.delays import retry_after
from watcher.net.exchange import ExchangeError, Reply, exchange, unexpected
from watcher.net.rate_limit import RouteBudget
from watcher.sources._calls import Call, RequestBuilder
from watcher.sources._errors import is_spent, reply_error
from watcher.telemetry.source_metrics import SourceMetrics
from watcher.telemetry.throttle import LogThrottle

logger = logging.getLogger(__name__)

_SLOW_SHARE = 0.5
"""Share of the timeout from which a reply counts as slow."""
_PAUSE_STATUSES = frozenset({429, 503})
"""They mean a pause with and without `Retry-After`, 403 and any other 5xx only with it."""

Rate = tuple[int, float]
"""So many requests in so many seconds."""


class _RouteLimits:
    def __init__(self, budget: RouteBudget, slow_after: float) -> None:
        self.budget = budget
        self.concurrency = ConcurrencyLimit(slow_after)
        self.pause_reason = SourceFailure.RATE_LIMITED

    def require_no_pause(self, route: str) -> None:
        """Raise `SourceError` if upstream has named a pause since the request was admitted."""
        if wait := self.budget.pause.named():
            text = f"upstream allows no request of {route} for {wait:.0f} s"
            raise SourceError(self.pause_reason, text, retry_after=wait)


class Connection:
    """The requests of one source.

    `headers` are sent with each. `rate` is that of each route, or with `shared_budget` of all of
    them together; None sets no limit. `plans` are the limits that upstream sells. With `budgets`
    the limits are those of all replicas together.
    """

    def __init__(
        self,
        *,
        base_url: str,
        headers: Mapping[str, str],
        rate: Rate | None,
        timeout: float,
        transport: httpx.AsyncBaseTransport,
        metrics: SourceMetrics,
        wall: Clock,
        shared_budget: bool = False,
        plans: Sequence[tuple[int, str]] = (),
        budgets: SharedBudgets | None = None,
    ) -> None:
        self._budgets = budgets
        self._requests = RequestBuilder(base_url, headers)
        self._rate = rate
        self._shared_budget = shared_budget
        self._plans = plans
        self._timeout = timeout
        self._transport = transport
        self._metrics = metrics
        self.wall = wall
        self._log_throttle = LogThrottle(anyio.current_time)
        self._routes: dict[str, _RouteLimits] = {}

    def open(self, route: str) -> None:
        """Export the metrics of `route` before its first request."""
        self._limits(route)

    def wait(self, route: str) -> float:
        """Return the seconds until the budget of `route` allows a request."""
        return self._limits(route).budget.wait()

    def limited(self, route: str) -> bool:
        """Return whether `route` has a budget."""
        return self._limits(route).budget.limited

    def spacing(self, route: str) -> float:
        """Return the seconds between two requests of `route` in the long run; 0 without a limit."""
        return self._limits(route).budget.spacing

    def give_back(self, route: str) -> None:
        """Take back a request of `route` that brought nothing; see `RouteBudget.give_back`."""
        self._limits(route).budget.give_back()

    async def admit(self, route: str) -> None:
        """Wait until a request of `route` may be sent, and reserve it for `send`.

        Cancelled while waiting, it has reserved nothing.
        """
        limits = self._limits(route)
        await limits.concurrency.acquire()
        try:
            await limits.budget.spend()
        except BaseException:
            limits.concurrency.release()
            raise

    def withdraw(self, route: str) -> None:
        """Release an unused reservation; what it took from the budget stays spent."""
        limits = self._limits(route)
        limits.concurrency.release()
        limits.budget.pause.released()

    async def request(self, call: Call, max_wait: float = math.inf) -> Reply:
        """Send `call` as soon as the limits allow it; see `send`.

        Raises `SourceError` (rate limited) where that takes longer than `max_wait` seconds.
        """
        try:
            with anyio.fail_after(max_wait):
                await self.admit(call.route)
        except TimeoutError:
            self._limits(call.route).require_no_pause(call.route)
            wait = max(self.wait(call.route), 1.0)
            text = f"the request budget of {call.route} is spent; try again in {wait:.0f} s"
            raise SourceError(SourceFailure.RATE_LIMITED, text, retry_after=wait) from None
        return await self.send(call)

    async def send(self, call: Call) -> Reply:
        """Send `call`, which has been admitted, and return the reply, whatever its status.

        The body is without a byte-order mark. Raises `SourceError` where there is no reply, for
        whatever reason.
        """
        limits = self._limits(call.route)
        sent_at = anyio.current_time()
        code: int | str | None = None
        try:
            limits.require_no_pause(call.route)
            limits.budget.pause.sent(self._timeout)
            reply = await self._exchange(call)
            code = reply.status
            self._adapt(limits, reply, sent_at)
            await limits.budget.share_pause()
        except SourceError:
            raise
        except Exception as error:
            failure = error if isinstance(error, ExchangeError) else unexpected(error)
            code = failure.kind
            self._log_unexpected(call.route, failure)
            limits.concurrency.failed()
            raise SourceError(SourceFailure(failure.kind), str(failure)) from None
        finally:
            limits.concurrency.release()
            limits.budget.pause.released(sent_at)
            if code is not None:
                seconds = anyio.current_time() - sent_at
                self._metrics.requested(call.route, code, seconds)
        return reply

    def url(self, call: Call) -> str:
        """Return the URL of a call, without `Call.query`."""
        return self._requests.url(call)

    def error(self, reply: Reply) -> SourceError:
        """Return the error of a reply that is not the expected answer."""
        return reply_error(reply, retry_after(reply.headers, self.wall()))

    async def _exchange(self, call: Call) -> Reply:
        try:
            request = self._requests.build(call)
        except Exception as error:  # a URL that is too long, or text that no header can carry
            raise unexpected(error, "the request cannot be written") from error
        reply = await exchange(
            self._transport, request, deadline=self._timeout, body_limit=call.reply_limit
        )
        if reply.body.startswith(codecs.BOM_UTF8):
            return replace(reply, body=reply.body.removeprefix(codecs.BOM_UTF8))
        return reply

    def _log_unexpected(self, route: str, error: ExchangeError) -> None:
        """Log an unexpected error with its traceback."""
        cause = error.__cause__
        if cause is not None and self._log_throttle.ready(type(cause).__name__):
            logger.warning("%s: %s; the request failed", route, error, exc_info=cause)

    def _adapt(self, limits: _RouteLimits, reply: Reply, sent_at: float) -> None:
        """Adapt the limits of a route to the reply to a request of monotonic time `sent_at`."""
        budget, now = limits.budget, self.wall()
        if reply.status == 429 or is_spent(reply):
            budget.rate_limited()
        budget.apply_headers(reply.headers, now)
        named = retry_after(reply.headers, now) if reply.status >= 400 else None
        overloaded = reply.status >= 500 or reply.status == 403
        if reply.status in _PAUSE_STATUSES or (overloaded and named is not None):
            budget.pause.start(named)
            limited = reply.status < 500
            limits.pause_reason = (
                SourceFailure.RATE_LIMITED if limited else SourceFailure.UNAVAILABLE
            )
        elif reply.status < 500:
            budget.pause.succeeded(sent_at)
        if reply.status == 429 or reply.status >= 500:
            limits.concurrency.failed()
        else:
            limits.concurrency.answered(anyio.current_time() - sent_at)

    def _limits(self, route: str) -> _RouteLimits:
        if route not in self._routes:
            self._routes[route] = limits = self._new_limits(route)
            budget = limits.budget
            self._metrics.budget(route, budget.remaining, budget.pause.named)
        return self._routes[route]

    def _new_limits(self, route: str) -> _RouteLimits:
        """Return the limits of a new route; with a shared budget those of the others."""
        if self._shared_budget and self._routes:
            return next(iter(self._routes.values()))
        limit, window = (None, 60.0) if self._rate is None else self._rate
        name = ALL_ROUTES if self._shared_budget else route
        budget = RouteBudget(
            name,
            limit,
            anyio.current_time,
            self._plans,
            window=window,
            shared=self._budgets,
        )
        return _RouteLimits(budget, self._timeout * _SLOW_SHARE)
