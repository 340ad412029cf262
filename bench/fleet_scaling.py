"""Deliveries a second of one webhook channel with `concurrency: 8` to a receiver that answers after
50 ms, by 1, 2 and 4 replicas on one PostgreSQL server; and the processor time that they take.

    python -m bench.fleet_scaling [SECONDS [PENDING]]

The channel has four slices, and `concurrency` counts for each replica: eight attempts of 50 ms are
at most 160 deliveries a second. PENDING (20,000) deliveries of as many tasks are stored before the
replicas start. The channel is paused until their shares are even; from 3 s after it was resumed, it
is measured for SECONDS (15). Where all cores are busy, the figures are what these allow.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx
import uvloop

from bench import receiver
from bench.fleet import DURABLE, SLICES
from bench.outbox import change
from bench.processes import COMMAND, SECRET, cpu_seconds, free_port
from tests.support.postgresql import Server, running_server
from watcher.core.clock import wall_clock
from watcher.core.tasks import TaskKey, WatchRequest, WatchState
from watcher.daemon import elsewhere
from watcher.stores import postgresql

REPLICAS = (1, 2, 4)
LATENCY = 0.05
WARM_UP = 3.0
PATIENCE = 90.0
"""Seconds in which the shares have to be even."""
BATCH = 1000
_CHANNEL = "channel backend"


def start(url: str, hook: str, port: int) -> subprocess.Popen[bytes]:
    """Start a replica, which has no task to poll."""
    source = {"base_url": "http://127.0.0.1:9", "requests_per_minute": 1}
    channel = {"name": "backend", "type": "webhook", "url": hook, "secrets": [SECRET]}
    environ = {
        **os.environ,
        "MIXPEEK_API_KEY": "sk_bench",
        "WATCHER_SOURCES": json.dumps([source]),
        "WATCHER_CHANNELS": json.dumps([{**channel, "concurrency": 8}]),
        "WATCHER_STORE__URL": url,
        "WATCHER_SERVER__PORT": str(port),
        "WATCHER_LOG__LEVEL": os.environ.get("LEVEL", "error"),
    }
    return subprocess.Popen([COMMAND, "run"], env=environ)


@asynccontextmanager
async def running(url: str, hook: str, count: int) -> AsyncIterator[Sequence[int]]:
    """Run replicas, and resume the channel once each has its share; give their process IDs."""
    ports = [free_port() for _ in range(count)]
    processes = [start(url, hook, port) for port in ports]
    try:
        async with asyncio.timeout(PATIENCE), postgresql.create(url) as store:
            shares: list[int] = []
            while shares != [SLICES // count] * count:
                await asyncio.sleep(0.5)
                owned = [replica.slices for replica in await store.replicas()]
                shares = [sum(one.group == _CHANNEL for one in slices) for slices in owned]
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as client:
            resume = f"http://127.0.0.1:{ports[0]}/v1/channels/backend/resume"
            (await client.post(resume)).raise_for_status()
        yield [process.pid for process in processes]
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


async def fill(url: str, pending: int) -> None:
    """Store pending deliveries, each of a task that has ended, and pause the channel."""
    async with postgresql.create(url) as store:
        for first in range(0, pending, BATCH):
            keys = [TaskKey("mixpeek", f"task_{first + one}") for one in range(BATCH)]
            added = await store.add([WatchRequest(key=key) for key in keys], wall_clock())
            ended = [replace(watch, state=WatchState.DONE) for watch in added.watches]
            await store.record([change(watch, wall_clock()) for watch in ended])
        await elsewhere.pause(store, "backend", "to be filled", wall_clock())


def server_seconds(server: Server) -> float:
    """Return the processor time of a server: its processes, and those that have ended."""
    first = int((server.folder / "data" / "postmaster.pid").read_text().split()[0])
    children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
    ended = Path(f"/proc/{first}/stat").read_text().rpartition(")")[2].split()[13:15]
    used = cpu_seconds(first) + sum(map(int, ended)) / os.sysconf("SC_CLK_TCK")
    for child in children:
        with suppress(OSError):  # it has just ended
            used += cpu_seconds(int(child))
    return used


async def measured(server: Server, count: int, seconds: float, pending: int) -> float:
    """Print the figures of so many replicas; return the deliveries a second."""
    received: list[tuple[bytes, float, bytes]] = []
    loop = asyncio.get_running_loop()
    answering = partial(receiver.Connection, received, LATENCY)
    serving = await loop.create_server(answering, "127.0.0.1", 0)
    hook = f"http://127.0.0.1:{serving.sockets[0].getsockname()[1]}"
    url = server.url(await server.create_database())
    await fill(url, pending)
    async with running(url, hook, count) as replicas:
        await asyncio.sleep(WARM_UP)

        def now() -> tuple[float, ...]:
            used = (server_seconds(server), sum(map(cpu_seconds, replicas)), time.process_time())
            return time.perf_counter(), len(received), *used

        before = now()
        await asyncio.sleep(seconds)
        passed, sent, *used = (end - start for start, end in zip(before, now(), strict=True))
        left, twice = pending - len(received), len(received) - len({one for one, _, _ in received})
    serving.close()
    database, own, others = (one / sent * 1000 for one in used)
    print(
        f"{count} replicas: {sent / passed:5.0f} deliveries/s; CPU for each 1,000 of them:"
        f" PostgreSQL {database:.2f} s, replicas {own:.2f} s, receiver {others:.2f} s;"
        f" {sum(used) / passed:.2f} cores busy; {twice} sent twice, {left} left",
        flush=True,
    )
    return sent / passed


async def main(seconds: float, pending: int) -> None:
    """Measure each number of replicas."""
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm", prefix="f") as name,
        running_server(Path(name) / "s", settings=DURABLE) as server,
    ):
        rates = [await measured(server, count, seconds, pending) for count in REPLICAS]
    shown = zip(REPLICAS[1:], rates[1:], strict=True)
    print(", ".join(f"{count} replicas: × {rate / rates[0]:.2f}" for count, rate in shown))


if __name__ == "__main__":
    arguments = sys.argv[1:]
    uvloop.run(
        main(
            float(arguments[0]) if arguments else 15.0,
            int(arguments[1]) if len(arguments) > 1 else 20_000,
        )
    )
