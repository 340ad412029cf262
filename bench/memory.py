"""Memory of the daemon while large events wait: the peak of its resident set.

400 events of 1 MB are pending at the start, for one channel of each kind in turn; the receiver
accepts everything. The goal is 120 MiB. The process in which Apprise runs is shown separately.
Arguments select channels by the names that are printed.
"""

import asyncio
import json
import re
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
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


async def fill(url: str, batch: str | None) -> None:
    """Store the pending events, all of one batch if it is given."""
    async with sqlite.create(url) as store:
        for number in range(EVENTS):
            task_id = f"task_{number}"
            watch = (await store.add([request(task_id)], wall_clock())).watches[0]
            await store.record([_large(step(watch, "FAILED", at=wall_clock()), task_id, batch)])


def _large(change: Change, task_id: str, batch: str | None) -> Change:
    assert change.event is not None
    data = {
        **{"task_id": task_id, "status": "FAILED", "sequence": 1, "outputs": ["x" * SIZE]},
        "additional_data": {"batch_id": batch},
    }
    content = {"type": "task.failed", "timestamp": "2026-01-01T00:00:00Z", "data": data}
    return replace(change, event=replace(change.event, body=json.dumps(content).encode()))


async def peaks(channel: Mapping[str, Any], batch: str | None) -> tuple[float, float]:
    """Return the peaks of the resident sets of the daemon and of its child, if any, in MiB, until
    everything is delivered.
    """
    with tempfile.TemporaryDirectory() as folder:
        port, child = free_port(), 0.0
        await fill(f"sqlite:///{folder}/watcher.db", batch)
        channels = json.dumps([{**channel, "name": "backend"}])
        with daemon(Path(folder), "http://127.0.0.1:9", port, WATCHER_CHANNELS=channels) as process:
            deadline = time.monotonic() + _PATIENCE
            while await _pending(folder) and time.monotonic() < deadline:
                child = max([child, *map(peak_of, _children(process.pid))])
                await asyncio.sleep(0.2)
            highest = peak_of(process.pid)
        if left := await _pending(folder):
            raise SystemExit(f"{channel['type']}: {left} deliveries are still pending")
    return highest, child


def peak_of(pid: int) -> float:
    """Return the peak of a process's resident set, in MiB; 0 if it has ended."""
    with suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        return 0.0 if found is None else int(found[1]) / 1024
    return 0.0


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        files = Path(f"/proc/{pid}/task").glob("*/children")
        return [int(child) for file in files for child in file.read_text().split()]
    return []


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
        bot = {
            **{"type": "slack", "bot_token": "xoxb-bench", "slack_channel": "C1"},
            "api_url": f"{url}/api/",
        }
        webhook = {"type": "webhook", "url": f"{url}/hook", "secrets": [SECRET]}
        cases: dict[str, tuple[Mapping[str, Any], str | None]] = {
            "webhook": ({**webhook, "max_body": "2MiB"}, None),
            "Slack webhook": ({"type": "slack", "url": f"{url}/hook"}, None),
            "Slack bot": (bot, None),
            "Slack bot, one batch": (bot, "btch_1"),
            "Apprise": ({"type": "apprise", "url": f"{url}/hook".replace("http", "json")}, None),
        }
        for name, (channel, batch) in cases.items():
            if not sys.argv[1:] or name in sys.argv[1:]:
                peak, child = await peaks(channel, batch)
                beside = f", its process of Apprise {child:.0f} MiB" if child else ""
                print(f"{name:<20} {peak:6.0f} MiB{beside}")


if __name__ == "__main__":
    anyio.run(main)
