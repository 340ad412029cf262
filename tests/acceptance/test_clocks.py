"""Replicas whose hosts' clocks are an hour off, and jump, on one server."""

from pathlib import Path
from time import time
from typing import Any

import anyio
import pytest
from aiohttp import web

from tests.acceptance.daemon import PATIENCE, Daemon, Site, add
from tests.support.postgresql import Server
from watcher.core.clock import parse_rfc3339

pytestmark = pytest.mark.anyio

HOUR = 3600
NEAR = 60.0
"""Seconds that a busy machine may take for anything here."""
SKEWED = """
import pathlib, time
real, offset = time.time, pathlib.Path({file!r})
time.time = lambda: real() + float(offset.read_text() or 0)
"""


class HostClock:
    """The clock of a host, as a process of it sees it: off by so many seconds."""

    def __init__(self, folder: Path, off: float) -> None:
        folder.mkdir()
        self._file = folder / "offset"
        self.set(off)
        (folder / "sitecustomize.py").write_text(SKEWED.format(file=str(self._file)))
        self.environ = {"PYTHONPATH": str(folder)}

    def set(self, off: float) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(str(off))
        new.replace(self._file)


async def unavailable(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=503)


async def test_what_a_replica_an_hour_ahead_leaves_is_due_at_one_an_hour_behind(
    site: Site, postgresql_server: Server, tmp_path: Path
) -> None:
    site.environ["WATCHER_STORE__URL"] = await postgresql_server.new_store()
    ahead, behind = HostClock(tmp_path / "ahead", HOUR), HostClock(tmp_path / "behind", -HOUR)
    for task_id in ("task_1", "task_2"):
        site.upstream.set(task_id, "IN_PROGRESS")
    site.receiver.fault = unavailable
    async with site.daemon(**ahead.environ) as first, site.daemon(**behind.environ) as second:
        await add(first, "task_1")
        await add(second, "task_2")
        await site.until(lambda: len(site.receiver.received) >= 3)  # one was repeated
        first.process.kill()
        await first.ended()
        site.receiver.fault = None
        await site.until_received("task.in_progress", 2)
        for task_id in ("task_1", "task_2"):
            site.upstream.set(task_id, "FAILED")
        await site.until_received("task.failed", 2)
        (delivery, *_) = await deliveries(second)
        async with second.client() as client:
            retried = await client.post(f"/v1/deliveries/{delivery['id']}/retry")
        assert abs(parse_rfc3339(retried.json()["next_attempt_at"]) - time()) < NEAR
        assert await second.stop() == 0
    assert site.sequences() == {"task_1": [1, 2], "task_2": [1, 2]}
    for received in site.receiver.received:
        assert abs(parse_rfc3339(received.event["timestamp"]) - time()) < NEAR


async def deliveries(daemon: Daemon) -> list[dict[str, Any]]:
    async with daemon.client() as client:
        found: list[dict[str, Any]] = (await client.get("/v1/deliveries")).json()["items"]
        return found


async def test_a_clock_that_jumps_changes_no_time(
    site: Site, postgresql_server: Server, tmp_path: Path
) -> None:
    site.environ["WATCHER_STORE__URL"] = await postgresql_server.new_store()
    clock = HostClock(tmp_path / "clock", 0)
    site.upstream.set("task_1", "QUEUED")
    async with site.daemon(**clock.environ) as daemon:
        await add(daemon, "task_1")
        await site.until_received("task.queued", 1)
        for off, status in ((HOUR, "IN_PROGRESS"), (-HOUR, "PROCESSING"), (0, "FAILED")):
            clock.set(off)
            site.upstream.set("task_1", status)
            await site.until_received(f"task.{status.lower()}", 1)
        with anyio.fail_after(PATIENCE):
            while any(one["state"] == "pending" for one in await deliveries(daemon)):
                await anyio.sleep(0.05)
        for one in await deliveries(daemon):
            for name in ("created_at", "delivered_at"):
                assert abs(parse_rfc3339(one[name]) - time()) < NEAR
        assert await daemon.stop() == 0
    assert site.sequences() == {"task_1": [1, 2, 3, 4]}
