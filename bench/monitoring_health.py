"""The healthy daemons of `bench.monitoring`: what happens to them is normal operation, and no alert
may be about it.
"""

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from aiohttp import web

from bench.monitored import Monitored
from watcher.testing.faults import answers
from watcher.testing.loopback import served

FAILED_SCRAPES = 20
"""One scrape in so many fails."""


@dataclass(frozen=True, kw_only=True)
class Healthy:
    """A daemon that is well; `life` runs until it is cancelled."""

    name: str
    life: Callable[[Monitored], Coroutine[None, None, None]]
    settings: Mapping[str, Any] = field(default_factory=dict)


async def _restarts(site: Monitored) -> None:
    while True:
        await asyncio.sleep(420)
        await site.restart()


async def _reloads(site: Monitored) -> None:
    """Reload, with and without a change, while the work comes and ends."""
    for number in range(10_000):
        await asyncio.sleep(150)
        site.configure("error" if number % 4 == 1 else "warning")
        site.signal(signal.SIGHUP)


async def _idles(site: Monitored) -> None:
    while True:
        await asyncio.sleep(120)
        site.busy = not site.busy
        await asyncio.sleep(300)
        site.busy = not site.busy


async def _pauses(site: Monitored) -> None:
    """Let an operator pause the channel for a while, with events pending."""
    while True:
        await asyncio.sleep(240)
        await site.call("POST", "/v1/channels/backend/pause")
        await asyncio.sleep(180)
        await site.call("POST", "/v1/channels/backend/resume")


async def _blips(site: Monitored) -> None:
    """Let single requests and deliveries fail, as they do anywhere, and all of them for 20 s."""
    unavailable = answers(503, "busy")

    async def fails(_: web.Request) -> web.StreamResponse | None:
        return await unavailable(_) if random.random() < 0.1 else None

    site.receiver.fault = fails
    while True:
        await asyncio.sleep(200)
        site.upstream.fault = unavailable
        await asyncio.sleep(20)
        site.upstream.fault = None


HEALTHY = (
    Healthy(name="healthy, restarts", life=_restarts),
    Healthy(name="healthy, reloads", life=_reloads),
    Healthy(name="healthy, idle at times", life=_idles),
    Healthy(name="healthy, paused at times", life=_pauses),
    Healthy(name="healthy, blips", life=_blips),
    Healthy(
        name="healthy, max_interval 10m",
        life=_idles,
        settings={"polling": {"max_interval": "10m"}},
    ),
)


@asynccontextmanager
async def scraped(client: httpx.AsyncClient, target: str, port: int) -> AsyncIterator[str]:
    """Serve the metrics of `target` on `port`, but not always; yields the address to scrape."""

    async def metrics(request: web.Request) -> web.Response:
        if random.randrange(FAILED_SCRAPES) == 0:
            return web.Response(status=503)
        try:
            names = {"accept": request.headers.get("accept", "*/*")}
            response = await client.get(f"http://{target}/metrics", headers=names)
        except httpx.HTTPError:
            return web.Response(status=502)
        kind = {"content-type": response.headers["content-type"]}
        return web.Response(status=response.status_code, body=response.content, headers=kind)

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    async with served(app, port):
        yield f"127.0.0.1:{port}"
