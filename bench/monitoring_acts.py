"""How the faults of `bench.monitoring` begin and end: each act concerns one daemon or its peers."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from aiohttp import web

from bench.monitored import Monitored
from watcher.testing.faults import Fault as Answer
from watcher.testing.faults import answers

Act = Callable[[Monitored], Awaitable[None]]

_JSON = "application/json"
_PARTS = 100
"""Watches that are added in one request to fill the store."""


def error(status: int, message: str, **headers: str) -> Answer:
    """Return a fault that sends an error in the format of the API."""
    content = {"success": False, "status": status, "error": {"message": message, "type": "Error"}}
    return answers(status, json.dumps(content), content_type=_JSON, **headers)


# The source


def upstream(fault: Answer) -> Act:
    """Return an act that gives the upstream this fault."""

    async def begin(site: Monitored) -> None:
        site.upstream.fault = fault

    return begin


async def upstream_works(site: Monitored) -> None:
    """End the faults of the upstream."""
    site.upstream.fault = None
    site.upstream.route_faults.clear()


async def close_source(site: Monitored) -> None:
    """Close the upstream."""
    await site.source.close()


async def open_source(site: Monitored) -> None:
    """Open the upstream again."""
    await site.source.open()


class _Everything(set[str]):
    """Contains every task."""

    def __contains__(self, _: object) -> bool:
        return True


async def forget_tasks(site: Monitored) -> None:
    """Let upstream know no task."""
    site.upstream.api.hidden_from_get = _Everything("*")
    site.upstream.api.hidden_from_list = _Everything("*")


async def lose_tasks(site: Monitored) -> None:
    """Let upstream forget two tasks."""
    lost = {f"lasting_{number}" for number in range(2)}
    site.upstream.api.hidden_from_get = site.upstream.api.hidden_from_list = lost


async def know_tasks(site: Monitored) -> None:
    """Let upstream know all tasks again."""
    site.upstream.api.hidden_from_get, site.upstream.api.hidden_from_list = set(), set()


async def limit_once(site: Monitored) -> None:
    """Answer the next request with a long `Retry-After`, and all others as usual."""
    limited = error(429, "Rate limit exceeded", Retry_After="3600")

    async def once(request: web.Request) -> web.StreamResponse:
        site.upstream.fault = None
        return await limited(request)

    site.upstream.fault = once


async def reject_lists_of_batches(site: Monitored) -> None:
    """Reject what the discovery rule requests."""
    route = "POST /v1/buckets/{bucket}/batches/list"
    site.upstream.route_faults[route] = error(403, "Access to this bucket is denied")


async def stall(site: Monitored) -> None:
    """Keep one task from changing; the others change."""
    site.unchanged.add("lasting_0")


async def proceed(site: Monitored) -> None:
    """Let the stalled task change."""
    site.unchanged.clear()
    site.upstream.set("lasting_0", "QUEUED")


# The channel


def receiver(status: int, text: str) -> Act:
    """Return an act that has the receiver send this response to everything."""

    async def begin(site: Monitored) -> None:
        site.receiver.fault = answers(status, text)

    return begin


async def close_channel(site: Monitored) -> None:
    """Close the receiver."""
    await site.channel.close()


async def open_channel(site: Monitored) -> None:
    """Open the receiver again."""
    await site.channel.open()


async def reject_one_task(site: Monitored) -> None:
    """Let the receiver reject the events of one task, and let that task change."""
    rejected = answers(400, "this task is not known here")

    async def reject(request: web.Request) -> web.StreamResponse | None:
        of_it = b'"lasting_0"' in await request.read()
        return await rejected(request) if of_it else None

    site.receiver.fault = reject
    site.upstream.set("lasting_0", "QUEUED")


async def retry(site: Monitored) -> None:
    """Let the receiver accept everything, and retry what it rejected."""
    site.receiver.fault = None
    await site.retry()


async def pause(site: Monitored) -> None:
    """Pause the channel."""
    await site.call("POST", "/v1/channels/backend/pause")


async def resume(site: Monitored) -> None:
    """Let the receiver accept everything, and resume the channel."""
    site.receiver.fault = None
    await site.call("POST", "/v1/channels/backend/resume")


# The process


async def kill(site: Monitored) -> None:
    """End the daemon at once."""
    await site.kill()


async def start(site: Monitored) -> None:
    """Start the daemon again."""
    await site.start()


async def freeze(site: Monitored) -> None:
    """Stop the process, which keeps its connections open."""
    site.signal(signal.SIGSTOP)


async def thaw(site: Monitored) -> None:
    """Continue the process."""
    site.signal(signal.SIGCONT)


def crash(down: float, every: float) -> Act:
    """Return an act that kills the daemon again and again, and starts it after `down` seconds."""

    async def crash(site: Monitored) -> None:
        while True:
            await site.kill()
            await asyncio.sleep(down)
            await site.start()
            await asyncio.sleep(every - down)

    async def begin(site: Monitored) -> None:
        site.background = asyncio.create_task(crash(site))

    return begin


async def crash_no_more(site: Monitored) -> None:
    """End the crash loop."""
    if site.background is not None:
        site.background.cancel()
        with suppress(asyncio.CancelledError):
            await site.background
    await site.kill()
    await site.start()


# The store


async def fill_store(site: Monitored) -> None:
    """Add watches with long labels until no more are accepted, and again whenever there is room."""
    labels = {f"label_{number}": "x" * 250 for number in range(20)}

    async def fill() -> None:
        for part in range(10_000):
            names = [f"filling_{part}_{number}" for number in range(_PARTS)]
            accepted = await site.watch(*names, labels=labels) in (200, 201)
            await asyncio.sleep(1 if accepted else 10)

    site.background = asyncio.create_task(fill())


async def empty_store(site: Monitored) -> None:
    """Remove what fills the store, as an operator does."""
    assert site.background is not None
    site.background.cancel()
    await site.unwatch("filling")


async def fill_disk(site: Monitored) -> None:
    """Fill the file system of the store."""
    with (site.store / "filling").open("wb", buffering=0) as filling, suppress(OSError):
        while True:
            filling.write(b"x" * 4096)


async def empty_disk(site: Monitored) -> None:
    """Make room."""
    (site.store / "filling").unlink()


def mount(folder: Path, size: str) -> bool:
    """Mount a file system in memory, and return whether that worked; only root may."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    with suppress(OSError):
        return os.geteuid() == 0 and subprocess.run(command, check=False).returncode == 0
    return False


def unmount(folder: Path) -> None:
    """Remove what `mount` made."""
    subprocess.run(["umount", "--lazy", str(folder)], check=False)


# The configuration


def configure(level: str) -> Act:
    """Return an act that reloads a configuration with this level of the log."""

    async def configure(site: Monitored) -> None:
        site.configure(level)
        site.signal(signal.SIGHUP)

    return configure
