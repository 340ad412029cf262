"""The dead man's switch: a GET at an interval, sent only while the watcher is healthy. Of several
replicas one sends it, for all of them.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import NamedTuple

import anyio
import httpx

from watcher.core.clock import Clock
from watcher.core.durations import format_duration
from watcher.core.errors import StoreError
from watcher.core.settings import HeartbeatSettings
from watcher.net.exchange import ExchangeError, exchange
from watcher.net.headers import USER_AGENT
from watcher.telemetry.health import Health
from watcher.telemetry.metrics import HeartbeatOutcome, Metrics

logger = logging.getLogger(__name__)

ANSWERED_WITHIN = 300.0
"""Seconds within which every polled source must have answered, if its settings do not allow
more."""
DELIVERED_WITHIN = 900.0
"""Seconds that the oldest delivery may be pending, if `alert_after` is not longer."""

_DEADLINE = 10.0  # seconds
_RESPONSE_LIMIT = 1024  # bytes


class Wait(NamedTuple):
    """For how many seconds something has been waited for, and for how many the settings allow."""

    seconds: float
    allowed: float

    def exceeds(self, least: float) -> bool:
        """Return whether it lasts too long; `least` seconds are always allowed."""
        return self.seconds > max(self.allowed, least)


def late(stalled: Iterable[str], silent: Mapping[str, Wait]) -> str | None:
    """Return which loops have stalled, or which source has answered nothing for too long, of those
    that run here; None if nothing is late.
    """
    if names := ", ".join(stalled):
        return f"stalled loops: {names}"
    for source, wait in silent.items():
        if wait.exceeds(ANSWERED_WITHIN):
            return f"source {source!r} has not answered for {format_duration(wait.seconds)}"
    return None


class Heartbeat:
    """Sends while the watcher is healthy; logs once when it is suppressed and when it continues."""

    def __init__(
        self,
        *,
        settings: HeartbeatSettings,
        transport: httpx.AsyncBaseTransport,
        health: Health,
        late: Callable[[], str | None],
        elsewhere: Callable[[], Awaitable[str | None]],
        pending: Callable[[], Awaitable[Mapping[str, Wait]]],
        metrics: Metrics,
        wall: Clock,
    ) -> None:
        """`late` returns what is late in this process, `elsewhere` what is wrong with what other
        replicas serve or should serve; both return None if nothing is. `pending` returns for how
        long the oldest delivery to each channel has been pending.
        """
        self._url = httpx.URL(settings.url.get_secret_value())
        self._every = settings.every
        self._transport = transport
        self._health = health
        self._late = late
        self._elsewhere = elsewhere
        self._pending = pending
        self._metrics = metrics
        self._wall = wall
        self._problem: str | None = None

    async def run(self) -> None:
        """Send until cancelled."""
        try:
            await self._send_regularly()
        finally:
            self._metrics.heartbeat_removed()

    async def _send_regularly(self) -> None:
        while True:
            problem, outcome = await self._beat()
            self._metrics.heartbeat(outcome, self._wall())
            if problem is not None and self._problem is None:
                logger.warning("heartbeat %s: %s", outcome, problem)
            elif problem is None and self._problem is not None:
                logger.info("heartbeat resumed")
            self._problem = problem
            await anyio.sleep(self._every)

    async def _beat(self) -> tuple[str | None, HeartbeatOutcome]:
        """Send if the watcher is healthy; return what is wrong, and how the heartbeat ended."""
        if (problem := await self.problem()) is not None:
            return problem, HeartbeatOutcome.SUPPRESSED
        if (problem := await self._send()) is not None:
            return problem, HeartbeatOutcome.FAILED
        return None, HeartbeatOutcome.SENT

    async def problem(self) -> str | None:
        """Return why the watcher is not healthy; None if it is."""
        if problem := self._late() or await self._health.unready():
            return problem
        try:
            if problem := await self._elsewhere():
                return problem
            pending = await self._pending()
        except StoreError as error:
            return str(error)
        for channel, wait in pending.items():
            if wait.exceeds(DELIVERED_WITHIN):
                lasted = format_duration(wait.seconds)
                return f"a delivery to {channel!r} has been pending for {lasted}"
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
