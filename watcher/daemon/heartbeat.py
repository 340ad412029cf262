"""The dead man's switch: a GET now and then to somebody else's watch, sent only while all is well here."""

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
"""Seconds within which every source that is asked has to have answered."""
DELIVERED_WITHIN = 900.0
"""Seconds that the oldest delivery may wait."""

_DEADLINE = 10.0
_ANSWER_LIMIT = 1024


class Heartbeat:
    """Sends while all is well, and says once each when it begins to be held back and when it goes on."""

    def __init__(
        self,
        *,
        settings: HeartbeatSettings,
        transport: httpx.AsyncBaseTransport,
        health: Health,
        answered_at: Callable[[], Mapping[str, float | None]],
        oldest_waiting: Callable[[], Awaitable[float]],
        wall: Clock,
    ) -> None:
        """`answered_at` gives when each source that has something to watch last answered, in Unix seconds (None: never
        since the start); `oldest_waiting` the age in seconds of the oldest delivery that waits.
        """
        self._url = httpx.URL(settings.url.get_secret_value())
        self._every = settings.every
        self._transport = transport
        self._health = health
        self._answered_at = answered_at
        self._oldest_waiting = oldest_waiting
        self._wall = wall
        self._began = wall()
        self._trouble: str | None = None

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            trouble = await self.trouble() or await self._send()
            if trouble is not None and self._trouble is None:
                logger.warning("the heartbeat is held back: %s", trouble)
            elif trouble is None and self._trouble is not None:
                logger.info("the heartbeat goes on")
            self._trouble = trouble
            await anyio.sleep(self._every)

    async def trouble(self) -> str | None:
        """Return why all is not well, None where it is."""
        if late := self._health.standing():
            return f"{', '.join(late)} stands still"
        if reason := await self._health.unready():
            return reason
        now = self._wall()
        for source, answered_at in self._answered_at().items():
            if now - (self._began if answered_at is None else answered_at) > ANSWERED_WITHIN:
                return f"source {source!r} has not answered for {ANSWERED_WITHIN:g} s"
        try:
            oldest = await self._oldest_waiting()
        except StoreError as error:
            return str(error)
        if oldest > DELIVERED_WITHIN:
            return f"a delivery has waited for more than {DELIVERED_WITHIN:g} s"
        return None

    async def _send(self) -> str | None:
        request = httpx.Request("GET", self._url, headers={"user-agent": USER_AGENT})
        try:
            reply = await exchange(
                self._transport, request, deadline=_DEADLINE, body_limit=_ANSWER_LIMIT
            )
        except ExchangeError as error:
            return f"its receiver did not answer ({error})"
        return None if 200 <= reply.status < 300 else f"its receiver answered HTTP {reply.status}"
