"""Failed deliveries, and paused and stopped channels, from the command line."""

import json
from collections import Counter

import anyio
import pytest
from aiohttp import web

from tests.acceptance.daemon import PATIENCE, Site, add
from tests.support.accepting_answers import ANSWERS, Receivers
from tests.support.raw_server import server
from watcher.testing.faults import answers

pytestmark = pytest.mark.anyio


async def test_failed_deliveries_are_listed_and_retried(site: Site) -> None:
    async def broken(_: web.Request) -> web.StreamResponse:
        return web.Response(status=500, text="no")

    site.receiver.fault = broken
    site.upstream.set("task_1", "COMPLETED")
    channel = json.loads(site.environ["WATCHER_CHANNELS"])[0] | {"attempts": ["0s", "0s"]}
    async with site.daemon(WATCHER_CHANNELS=json.dumps([channel])) as daemon:
        await add(daemon, "task_1")
        await site.until(lambda: len(site.receiver.received) == 2)

        with anyio.fail_after(PATIENCE):
            while not (items := await site.json(daemon, "deliveries", "--state", "failed")):
                await anyio.sleep(0.05)
        assert items[0]["last_error"] == "HTTP 500: no"
        site.receiver.fault = None
        assert (await site.command(daemon, "retry", str(items[0]["id"]))).returncode == 0
        await site.until(lambda: site.event_types() == ["task.completed"])


async def test_a_channel_stays_paused_over_a_restart_until_resumed(
    site: Site,
) -> None:
    site.upstream.set("task_1", "FAILED")
    async with site.daemon() as daemon:
        paused = await site.command(daemon, "channels", "pause", "backend", "--reason", "migration")
        assert paused.stdout == b"paused; 0 deliveries pending\n"
        await add(daemon, "task_1")
        assert (await site.command(daemon, "wait", "task_1", "--timeout", "30s")).returncode == 1
        assert await daemon.stop() == 0
    async with site.daemon() as daemon:
        (shown,) = await site.json(daemon, "channels", "ls")
        assert (shown["state"], shown["reason"], shown["pending"]) == ("paused", "migration", 1)
        assert site.receiver.received == []
        resumed = await site.command(daemon, "channels", "resume", "backend")
        assert resumed.returncode == 0
        await site.until(lambda: site.event_types() == ["task.failed"])
        assert await daemon.stop() == 0


async def test_a_410_stops_the_channel_until_it_is_resumed(
    site: Site,
) -> None:
    site.receiver.fault = answers(410, "gone")
    site.upstream.set("task_1", "FAILED")
    async with site.daemon() as daemon:
        await add(daemon, "task_1")
        await site.until(lambda: any("is stopped" in line for line in daemon.log))
        site.receiver.fault = None
        site.upstream.set("task_2", "FAILED")
        await add(daemon, "task_2")
        assert (await site.command(daemon, "wait", "task_2", "--timeout", "30s")).returncode == 1
        assert len(site.receiver.received) == 1
        assert (await site.command(daemon, "channels", "resume", "backend")).returncode == 0
        await site.until(lambda: len(site.receiver.accepted()) == 2)
        deliveries = await site.json(daemon, "deliveries")
        (delivery_id,) = [item["id"] for item in deliveries if item["task_id"] == "task_1"]
        attempts = await site.json(daemon, "attempts", str(delivery_id))
        assert [(attempt["status"], attempt["answer"]) for attempt in attempts] == [
            (410, "gone"),
            (204, None),
        ]
        assert await daemon.stop() == 0


async def test_a_2xx_is_one_attempt_and_frees_its_sender_whatever_follows(site: Site) -> None:
    receivers = Receivers()
    names = [f"task_{number}" for number in range(len(ANSWERS))]
    for name in names:
        site.upstream.set(name, "COMPLETED")
    channel = json.loads(site.environ["WATCHER_CHANNELS"])[0]
    async with server(receivers.serve) as url:
        channel |= {"url": f"{url}next", "concurrency": 4, "timeout": "1m"}
        async with site.daemon(WATCHER_CHANNELS=json.dumps([channel])) as daemon:
            await add(daemon, *names)
            await site.until(lambda: receivers.requests.total() == len(names))
            with anyio.fail_after(PATIENCE):
                while await site.json(daemon, "deliveries", "--state", "pending"):
                    await anyio.sleep(0.05)
            delivered = await site.json(daemon, "deliveries", "--state", "delivered")
            assert await daemon.stop() == 0
    assert [item["attempts"] for item in delivered] == [1] * len(names)
    assert receivers.requests == Counter(ANSWERS.keys())
