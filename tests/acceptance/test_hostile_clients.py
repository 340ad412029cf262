"""Clients that can only talk to the daemon stop neither polling, delivery nor probes."""

import re
from contextlib import AsyncExitStack, suppress

import anyio
import anyio.lowlevel
import httpx
import pytest

from tests.acceptance.daemon import PATIENCE, Daemon, Site, add
from watcher.api.connections import MOST_CONNECTIONS

pytestmark = pytest.mark.anyio

GONE = (anyio.BrokenResourceError, anyio.EndOfStream, OSError)
ENDLESS = b"POST /v1/watches HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
CHUNKS = ENDLESS + b"transfer-encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 20_000
POLLS = 6


def telemetry_of(daemon: Daemon) -> str:
    text = next(text for text in daemon.messages() if text.startswith("metrics and probes"))
    (url,) = re.findall(r"http://\S+", text)
    return str(url)


async def attack(url: str, sent: bytes) -> None:
    """Send this again and again, on a connection of its own each time."""
    while True:
        with suppress(*GONE):
            async with await anyio.connect_tcp("127.0.0.1", httpx.URL(url).port or 0) as stream:
                await stream.send(sent)
                await stream.receive()
        await anyio.lowlevel.checkpoint()


async def test_hostile_clients_stop_neither_polling_nor_delivery_nor_probes(site: Site) -> None:
    telemetry = {"WATCHER_TELEMETRY__HOST": "127.0.0.1", "WATCHER_TELEMETRY__PORT": "0"}
    site.upstream.set("task_1", "IN_PROGRESS")
    async with site.daemon(**telemetry) as daemon, AsyncExitStack() as silent:
        urls = [daemon.url, telemetry_of(daemon)]
        await add(daemon, "task_1")
        await site.until_received("task.in_progress", 1)
        for url in urls:
            for _ in range(MOST_CONNECTIONS + 50):
                stream = await anyio.connect_tcp("127.0.0.1", httpx.URL(url).port or 0)
                await silent.enter_async_context(stream)
        async with anyio.create_task_group() as tasks:
            for url in urls:
                for sent in (CHUNKS, b"\x16\x03\x01 garbage", b"GET / HTTP/1.1\r\n" * 5000):
                    tasks.start_soon(attack, url, sent)
            polled = site.upstream.requests.total()
            await site.until(lambda: site.upstream.requests.total() >= polled + POLLS)
            for url in urls:
                async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
                    with anyio.fail_after(PATIENCE):
                        assert (await client.get("/healthz")).status_code == 200
            site.upstream.set("task_1", "COMPLETED")
            await site.until_received("task.completed", 1)
            tasks.cancel_scope.cancel()
        assert await daemon.stop() == 0
    assert daemon.messages("error") == []
    closed = [text for text in daemon.messages("info") if "closed" in text]
    assert len(closed) <= 2  # one for each listener
