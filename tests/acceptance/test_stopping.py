"""SIGTERM: what is in flight ends, within a limit."""

import asyncio
import json
import signal

import anyio
import pytest
from aiohttp import web

from tests.acceptance.daemon import Daemon, Site, add

pytestmark = pytest.mark.anyio


async def test_sigterm_lets_deliveries_in_flight_finish(
    site: Site,
) -> None:
    arrived, respond = asyncio.Event(), asyncio.Event()

    async def slow(_: web.Request) -> None:
        arrived.set()
        await respond.wait()

    site.receiver.fault = slow
    site.upstream.set("task_1", "COMPLETED")
    async with site.daemon() as daemon:
        await add(daemon, "task_1")
        await arrived.wait()
        daemon.process.send_signal(signal.SIGTERM)
        await site.until(lambda: any("stopping" in line for line in daemon.log))
        respond.set()
        assert await daemon.ended() == 0

    assert site.event_types() == ["task.completed"]
    async with site.daemon() as daemon:
        assert await daemon.stop() == 0
    assert site.event_types() == ["task.completed"]


async def start_hanging_delivery(site: Site, daemon: Daemon) -> None:
    """Start a delivery to a receiver that never responds."""
    arrived = asyncio.Event()

    async def hang(_: web.Request) -> None:
        arrived.set()
        await asyncio.Event().wait()

    site.receiver.fault = hang
    site.upstream.set("task_1", "COMPLETED")
    await add(daemon, "task_1")
    await arrived.wait()


async def test_a_hanging_receiver_delays_the_stop_at_most_twelve_seconds(site: Site) -> None:
    async with site.daemon() as daemon:
        await start_hanging_delivery(site, daemon)
        started_at = anyio.current_time()
        assert await daemon.stop() == 0
        assert anyio.current_time() - started_at <= 12
        assert any("1 deliveries to 'backend' are pending" in line for line in daemon.log)


async def test_a_second_signal_stops_the_daemon_at_once(site: Site) -> None:
    async with site.daemon() as daemon:
        await start_hanging_delivery(site, daemon)
        daemon.process.send_signal(signal.SIGTERM)
        await site.until(lambda: any("stopping" in line for line in daemon.log))
        started_at = anyio.current_time()
        daemon.process.send_signal(signal.SIGTERM)
        await daemon.ended()
        assert anyio.current_time() - started_at < 5


async def test_a_hanging_service_of_apprise_delays_the_stop_at_most_twelve_seconds(
    site: Site,
) -> None:
    arrived = asyncio.Event()

    async def hang(_: web.Request) -> None:
        arrived.set()
        await asyncio.Event().wait()

    site.receiver.fault = hang
    url = site.hook.replace("http", "json", 1).replace("/hook", "/slack") + "?rto=60"
    channels = [{"name": "mail", "type": "apprise", "url": url, "timeout": "60s"}]
    routes = [{"channels": ["mail"], "initial": True}]
    site.upstream.set("task_1", "FAILED")
    async with site.daemon(
        WATCHER_CHANNELS=json.dumps(channels), WATCHER_ROUTES=json.dumps(routes)
    ) as daemon:
        await add(daemon, "task_1")
        await arrived.wait()
        started_at = anyio.current_time()
        assert await daemon.stop() == 0
        assert anyio.current_time() - started_at <= 12
        assert any("1 deliveries to 'mail' are pending" in line for line in daemon.log)
