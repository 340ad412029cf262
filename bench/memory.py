"""Memory of the daemon while large events wait: the peak of its resident set.

400 events of 1 MB are pending at the start, for one channel of each kind in turn; the receiver
accepts everything. The goal is 120 MiB.
"""

import asyncio
import json
import re
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
from aiohttp import web

from bench.processes import SECRET, daemon, free_port
from tests.support.records import request, step
from watcher.core.clock import wall_clock
from watcher.core.events import Change
from watcher.stores.sqlite import store as sqlite
from watcher.testing.loopback import served

EVENTS = 400
SIZE = 1_000_000
_PATIENCE = 120.0


async def fill(url: str) -> None:
    """Store the pending events."""
    async with sqlite.create(url) as store:
        for number in range(EVENTS):
            task_id = f"task_{number}"
            watch = (await store.add([request(task_id)], wall_clock())).watches[0]
            await store.record([_large(step(watch, "FAILED", at=wall_clock()), task_id)])


def _large(change: Change, task_id: str) -> Change:
    assert change.event is not None
    data = {"task_id": task_id, "status": "FAILED", "sequence": 1, "outputs": ["x" * SIZE]}
    content = {"type": "task.failed", "timestamp": "2026-01-01T00:00:00Z", "data": data}
    return replace(change, event=replace(change.event, body=json.dumps(content).encode()))


async def peak(channel: dict[str, Any]) -> float:
    """Return the peak of the resident set, in MiB, until everything is delivered."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        await fill(f"sqlite:///{folder}/watcher.db")
        channels = json.dumps([channel | {"name": "backend"}])
        with daemon(Path(folder), "http://127.0.0.1:9", port, WATCHER_CHANNELS=channels) as process:
            status = Path(f"/proc/{process.pid}/status")
            deadline = time.monotonic() + _PATIENCE
            while await _pending(folder) and time.monotonic() < deadline:
                await asyncio.sleep(0.2)
            highest = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        if left := await _pending(folder):
            raise SystemExit(f"{channel['type']}: {left} deliveries are still pending")
    assert highest is not None
    return int(highest[1]) / 1024


async def _pending(folder: str) -> int:
    import aiosqlite

    async with aiosqlite.connect(f"file:{folder}/watcher.db?mode=ro", uri=True) as connection:
        found = await connection.execute_fetchall(
            "SELECT count(*) FROM deliveries WHERE state = 'pending'"
        )
    return int(next(iter(found))[0])


async def main() -> None:
    async def accept(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(text="ok")

    async def accept_api(_: web.Request) -> web.Response:
        return web.json_response({"ok": True, "ts": "1", "channel": "C1"})

    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/hook", accept)
    app.router.add_post("/api/{method}", accept_api)
    async with served(app) as url:
        channels: list[dict[str, Any]] = [
            {"type": "webhook", "url": f"{url}/hook", "secrets": [SECRET], "max_body": "2MiB"},
            {"type": "slack", "url": f"{url}/hook"},
        ]
        for channel in channels:
            print(f"{channel['type']:<10} {await peak(channel):6.0f} MiB")


anyio.run(main)
