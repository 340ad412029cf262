"""Requests to the API: each route with its own budget, its own concurrency and its own patience."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import anyio
import httpx
import msgspec

from watcher import __version__
from watcher.core.clock import Clock
from watcher.core.errors import SourceError, SourceFailure
from watcher.net.concurrency_limit import Concurrency
from watcher.net.exchange import ExchangeError, Reply, exchange, retry_after
from watcher.net.rate_limit import RouteBudget
from watcher.net.transport import SENT_ONCE
from watcher.sources.mixpeek import decoding
from watcher.telemetry.metrics import SourceMetrics

ANSWER_LIMIT = 4 * 1024 * 1024
"""Bytes read of an answer about one thing."""

_SLOW_SHARE = 0.5  # of the timeout
_PAUSES = frozenset({429, 503})
_PLANS = ((10, "Free"), (60, "Pro"))  # requests per minute


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request. `route` is the template that upstream counts by; `path` begins with a slash.

    `once` is for what must not be done twice: the transport does not send it again where a connection breaks.
    """

    route: str
    path: str
    query: Mapping[str, str | int] = field(default_factory=dict)
    body: object = None
    namespace: str | None = None
    answer_limit: int = ANSWER_LIMIT
    once: bool = False

    @property
    def method(self) -> str:
        """The HTTP method, with which every template begins."""
        return self.route.partition(" ")[0]


class _Gate:
    def __init__(self, route: str, limit: int | None, slow_after: float) -> None:
        self.budget = RouteBudget(route, limit, anyio.current_time, _PLANS)
        self.concurrency = Concurrency(slow_after)


class Connection:
    """One source's way to the API."""

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str,
        requests_per_minute: int | None,
        timeout: float,
        transport: httpx.AsyncBaseTransport,
        metrics: SourceMetrics,
        wall: Clock,
    ) -> None:
        self._base_url = base_url
        self._headers = {
            "authorization": f"Bearer {api_key}",
            "accept": "application/json",
            "accept-encoding": "identity",
            "user-agent": f"mixpeek-watcher/{__version__}",
        }
        self._limit = requests_per_minute
        self._timeout = timeout
        self._transport = transport
        self._metrics = metrics
        self._wall = wall
        self._gates: dict[str, _Gate] = {}

    def open(self, route: str) -> None:
        """Show the series of `route` before its first request."""
        self._gate(route)

    def wait(self, route: str) -> float:
        """Return the seconds until the budget of `route` lets a request through."""
        return self._gate(route).budget.wait()

    async def admit(self, route: str) -> None:
        """Wait until a request of `route` may be sent, and reserve it: `send` uses the reservation up.

        Cancelled while waiting, it has reserved nothing.
        """
        gate = self._gate(route)
        await gate.concurrency.acquire()
        try:
            await gate.budget.spend()
        except BaseException:
            gate.concurrency.release()
            raise

    def withdraw(self, route: str) -> None:
        """Give back a reservation that is not going to be used; its part of the budget is spent all the same."""
        self._gate(route).concurrency.release()

    async def request(self, call: Call, patience: float = math.inf) -> Reply:
        """Send `call` when its time has come; see `send`.

        Raises `SourceError` (rate limited) where that is more than `patience` seconds away.
        """
        try:
            with anyio.fail_after(patience):
                await self.admit(call.route)
        except TimeoutError:
            wait = max(self.wait(call.route), 1.0)
            text = f"the budget for {call.route} is spent; try again in {wait:.0f} s"
            raise SourceError(SourceFailure.RATE_LIMITED, text, retry_after=wait) from None
        return await self.send(call)

    async def send(self, call: Call) -> Reply:
        """Send `call`, which has been admitted, and return the answer, whatever its status.

        Raises `SourceError` where there was none.
        """
        gate = self._gate(call.route)
        began = time.perf_counter()
        code: int | str = "protocol"
        try:
            reply = await exchange(
                self._transport,
                self._built(call),
                deadline=self._timeout,
                body_limit=call.answer_limit,
            )
            code = reply.status
        except ExchangeError as error:
            code = error.kind
            gate.concurrency.failed()
            raise SourceError(SourceFailure(error.kind), str(error)) from None
        finally:
            gate.concurrency.release()
            seconds = time.perf_counter() - began
            self._metrics.requested(call.route, code, seconds)
        self._learn(gate, reply, seconds)
        return reply

    def refusal(self, reply: Reply) -> SourceError:
        """Return what an answer means that is not what was asked for."""
        return decoding.refusal(reply, retry_after(reply.headers, self._wall()))

    def _learn(self, gate: _Gate, reply: Reply, seconds: float) -> None:
        gate.budget.informed(reply.headers, self._wall())
        if reply.status == 429:
            gate.budget.refused()
        if reply.status in _PAUSES:
            gate.budget.pause.asked(retry_after(reply.headers, self._wall()))
        else:
            gate.budget.pause.succeeded()
        if reply.status == 429 or reply.status >= 500:
            gate.concurrency.failed()
        else:
            gate.concurrency.answered(seconds)

    def _built(self, call: Call) -> httpx.Request:
        headers = dict(self._headers)
        if call.namespace is not None:
            headers["x-namespace"] = call.namespace
        content = None
        if call.body is not None:
            headers["content-type"] = "application/json"
            content = msgspec.json.encode(call.body)
        url = _url(self._base_url + call.path, tuple(call.query.items()))
        extensions = {SENT_ONCE: True} if call.once else {}
        return httpx.Request(
            call.method, url, headers=headers, content=content, extensions=extensions
        )

    def _gate(self, route: str) -> _Gate:
        if route not in self._gates:
            gate = self._gates[route] = _Gate(route, self._limit, self._timeout * _SLOW_SHARE)
            self._metrics.budget(route, gate.budget.remaining)
        return self._gates[route]


@lru_cache(maxsize=256)
def _url(base: str, query: tuple[tuple[str, str | int], ...]) -> httpx.URL:
    """Return a URL; parsing one costs more than everything else about a request, and a page's is always the same."""
    return httpx.URL(base, params=dict(query)) if query else httpx.URL(base)
