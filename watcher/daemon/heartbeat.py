"""The dead man's switch: a GET at an interval, sent only while the watcher is healthy."""

import logging
from collections.abc import Awaitable, Callable, Mapping

import anyio
import httpx

from watcher.core.clock import Clock
from watcher.core.errors import StoreError
from watcher.core.settings import HeartbeatSettings
from watcher.net.exchange import ExchangeError, exchange
from watcher.net.headers import USER_AGENT
from watcher.telemetry.health import Health

logger = logging.getLogger(__name__)

ANSWERED_WITHIN = 300.0
"""Seconds within which every polled source must have answered."""
DELIVERED_WITHIN = 900.0
"""Seconds that the oldest delivery may be pending."""

_DEADLINE = 10.0
_RESPONSE_LIMIT = 1024


class Heartbeat:
    """Sends while the watcher is healthy; logs once when it is suppressed and when it continues."""

    def __init__(
        self,
        *,
        settings: HeartbeatSettings,
        transport: httpx.AsyncBaseTransport,
        health: Health,
        answered_at: Callable[[], Mapping[str, float | None]],
        oldest_pending: Callable[[], Awaitable[float]],
        wall: Clock,
    ) -> None:
        """`answered_at` returns when each source with watches last answered, in Unix seconds, or
        None; `oldest_pending` the age in seconds of the oldest pending delivery.
        """
        self._url = httpx.URL(settings.url.get_secret_value())
        self._every = settings.every
        self._transport = transport
        self._health = health
        self._answered_at = answered_at
        self._oldest_pending = oldest_pending
        self._wall = wall
        self._started_at = wall()
        self._problem: str | None = None

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            problem = await self.problem() or await self._send()
            if problem is not None and self._problem is None:
                logger.warning("heartbeat suppressed: %s", problem)
            elif problem is None and self._problem is not None:
                logger.info("heartbeat resumed")
            self._problem = problem
            await anyio.sleep(self._every)

    async def problem(self) -> str | None:
        """Return why the watcher is not healthy; None if it is."""
        if late := self._health.stalled_loops():
            return f"stalled loops: {', '.join(late)}"
        if reason := await self._health.unready():
            return reason
        now = self._wall()
        for source, answered_at in self._answered_at().items():
            if now - (self._started_at if answered_at is None else answered_at) > ANSWERED_WITHIN:
                return f"source {source!r} has not answered for {ANSWERED_WITHIN:g} s"
        try:
            oldest = await self._oldest_pending()
        except StoreError as error:
            return str(error)
        if oldest > DELIVERED_WITHIN:
            return f"a delivery has been pending for more than {DELIVERED_WITHIN:g} s"
        return None

    async def _send(self) -> str | None:
        request = httpx.Request("GET", self._url, headers={"user-agent": USER_AGENT})
        try:
            reply = await exchange(
                self._transport, request, deadline=_DEADLINE, body_limit=_RESPONSE_LIMIT
            )
        except ExchangeError as error:
            return f"no answer from the receiver ({error})"
        return None if 200 <= reply.status < 300 else f"the receiver answered HTTP {reply.status}"
