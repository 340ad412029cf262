"""Three replicas on one PostgreSQL server, of which one is killed or paused again and again, or
whose server is, while tasks change.

    python -m bench.fleet [kill|stop|pause|database] [TIMES [CHANGES_A_SECOND]]

`kill` ends a replica with SIGKILL and starts it again after five seconds, `stop` ends one in order.
`pause` stops one with
SIGSTOP for a minute. `database` stops PostgreSQL at once (`pg_ctl stop -m immediate`) and starts
it. Reported are how long no event of a slice of the channel arrived after each fault, what the
receiver must never see (a gap in the sequence of a task, a sequence for the first time after a
later one, two events with one sequence), and the requests that upstream rejected.
"""

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import httpx
import msgspec
import uvloop

from bench.listeners import Site, served
from bench.processes import COMMAND, SECRET, free_port, percentile, resident_mebibytes
from tests.support.postgresql import Server, running_server
from watcher.core.events import task_order_key
from watcher.core.ownership import SLOTS, slot
from watcher.core.tasks import TaskKey

REPLICAS = 3
TASKS = 2000
LIMIT = 600
"""Requests a minute that upstream allows on each route, to all replicas together."""
SLICES = 4
WARM_UP = 30.0
BETWEEN = 25.0
"""Seconds between two faults."""
DOWN = 5.0
PAUSED = 60.0
QUIET = 60.0
"""Seconds without a change at the end, in which everything has to arrive."""
DURABLE = (
    "listen_addresses=",
    "fsync=off",  # the host does not fail, only the server
    "max_connections=60",
    "shared_buffers=64MB",
)


@dataclass
class Fleet:
    """The replicas, by number."""

    server: Server
    url: str
    urls: tuple[str, str]
    ports: Sequence[int] = field(default_factory=lambda: [free_port() for _ in range(REPLICAS)])
    processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, number: int) -> None:
        """Start a replica."""
        source = {"base_url": self.urls[0], "requests_per_minute": LIMIT}
        channel = {"name": "backend", "type": "webhook", "url": self.urls[1], "secrets": [SECRET]}
        environ = {
            **os.environ,
            "MIXPEEK_API_KEY": "sk_bench",
            "WATCHER_SOURCES": json.dumps([source]),
            "WATCHER_CHANNELS": json.dumps([channel]),
            "WATCHER_STORE__URL": self.url,
            "WATCHER_SERVER__PORT": str(self.ports[number]),
            "WATCHER_LOG__LEVEL": os.environ.get("LEVEL", "error"),
        }
        self.processes[number] = subprocess.Popen([COMMAND, "run"], env=environ)

    def client(self, number: int = 0) -> httpx.AsyncClient:
        """Return a client of a replica's API."""
        url = f"http://127.0.0.1:{self.ports[number]}"
        return httpx.AsyncClient(base_url=url, timeout=30, trust_env=False)

    async def ready(self, number: int) -> None:
        """Wait until a replica is ready."""
        async with self.client(number) as client:
            while self.processes[number].poll() is None:
                try:
                    if (await client.get("/readyz")).status_code == 200:
                        return
                except httpx.HTTPError:
                    pass
                await asyncio.sleep(0.1)
        raise SystemExit(f"replica {number} has ended")

    def end(self) -> None:
        """Stop all."""
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self.processes.values():
            process.wait()

    # Faults; each returns once it is over

    async def kill(self, random: Random) -> None:
        number = random.randrange(REPLICAS)
        self.processes[number].kill()
        self.processes[number].wait()
        await asyncio.sleep(DOWN)
        self.start(number)

    async def stop(self, random: Random) -> None:
        number = random.randrange(REPLICAS)
        self.processes[number].terminate()
        await asyncio.to_thread(self.processes[number].wait)
        self.start(number)

    async def pause(self, random: Random) -> None:
        process = self.processes[random.randrange(REPLICAS)]
        process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(PAUSED)
        process.send_signal(signal.SIGCONT)

    async def database(self, random: Random) -> None:
        await asyncio.to_thread(self.server.stop, "immediate")
        await asyncio.sleep(random.uniform(0.0, 2.0))
        await asyncio.to_thread(self.server.start)


async def change(site: Site, a_second: float) -> None:
    """Change random tasks, each to its other status."""
    random = Random(5)
    while True:
        await asyncio.sleep(random.expovariate(a_second))
        task_id = f"task_{random.randrange(TASKS)}"
        before = site.upstream.changed.get(task_id)
        site.upstream.changed[task_id] = b"QUEUED" if before == b"PROCESSING" else b"PROCESSING"


def silences(site: Site, faults: Sequence[float]) -> list[float]:
    """Return for each fault the longest time in which a slice of the channel received nothing."""
    times: dict[int, list[float]] = defaultdict(list)
    for _, at, body in site.webhooks:
        task_id = msgspec.json.decode(body)["data"].get("task_id")
        if task_id is not None:
            key = task_order_key(TaskKey("mixpeek", task_id))
            times[slot(key) * SLICES // SLOTS].append(at)
    longest = []
    for began in faults:
        gaps = [0.0]
        for arrivals in times.values():
            within = [at for at in arrivals if began - 1 <= at <= began + BETWEEN]
            gaps += [later - at for at, later in itertools.pairwise(within)]
        longest.append(max(gaps))
    return longest


def wrong(site: Site) -> dict[str, int]:
    """Count what must never be received, and what was received twice."""
    seen: dict[tuple[str, int], str] = {}
    last: dict[str, int] = {}
    status: dict[str, str] = {}
    counts = {"gaps": 0, "out of order": 0, "two events with one sequence": 0, "repeated": 0}
    for event_id, _, body in site.webhooks:
        data = msgspec.json.decode(body)["data"]
        if (task_id := data.get("task_id")) is None:
            continue
        sequence = data["sequence"]
        known = seen.setdefault((task_id, sequence), event_id.decode())
        if known != event_id.decode():
            counts["two events with one sequence"] += 1
        elif sequence <= last.get(task_id, 0):
            counts["repeated"] += 1
        elif sequence == last.get(task_id, 1) + 1:  # the first status is not sent
            last[task_id], status[task_id] = sequence, data["status"]
        else:
            counts["gaps"] += 1
            last[task_id], status[task_id] = sequence, data["status"]
    for task_id, sequence in seen:
        counts["out of order"] += sequence > last[task_id]
    counts["missing at the end"] = sum(
        status.get(task_id) != now.decode() for task_id, now in site.upstream.changed.items()
    )
    return counts


@asynccontextmanager
async def fleet(folder: Path, site: Site) -> AsyncIterator[Fleet]:
    """Run three replicas that watch all tasks."""
    with running_server(folder / "s", settings=DURABLE) as server:
        async with served(site) as urls:
            replicas = Fleet(server, server.url(await server.create_database()), urls)
            try:
                for number in range(REPLICAS):
                    replicas.start(number)
                for number in range(REPLICAS):
                    await replicas.ready(number)
                async with replicas.client() as client:
                    for first in range(0, TASKS, 1000):
                        tasks = [{"task_id": f"task_{first + one}"} for one in range(1000)]
                        (await client.post("/v1/watches", json=tasks)).raise_for_status()
                yield replicas
            finally:
                replicas.end()


async def main(kind: str, times: int, a_second: float) -> None:
    """Run the faults, and print a line for each figure."""
    site, random, faults = Site(), Random(11), list[float]()
    site.upstream.limit = LIMIT
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="f") as name:
        async with fleet(Path(name), site) as replicas, asyncio.TaskGroup() as tasks:
            await asyncio.sleep(WARM_UP)
            changing = tasks.create_task(change(site, a_second))
            await asyncio.sleep(BETWEEN)
            fault: Callable[[Random], Awaitable[None]] = getattr(replicas, kind)
            for number in range(times):
                faults.append(time.time())
                await fault(random)
                await asyncio.sleep(max(faults[-1] + BETWEEN - time.time(), 5.0))
                if sys.stderr.isatty():
                    print(f"{number + 1} of {times}", end="\r", file=sys.stderr)
            changing.cancel()
            await asyncio.sleep(QUIET)
            memory = [resident_mebibytes(one.pid) for one in replicas.processes.values()]
            async with replicas.client() as client:
                status = (await client.get("/v1/status")).json()
    silent = silences(site, faults)
    print(f"{kind}, {times} times, {a_second:g} changes/s, {len(site.webhooks)} webhooks")
    print(
        f"longest silence of a slice: p50 {percentile(silent, 0.5):.1f} s,"
        f" p99 {percentile(silent, 0.99):.1f} s, most {max(silent):.1f} s"
    )
    print(", ".join(f"{count} {what}" for what, count in wrong(site).items()))
    print(
        f"429s: {site.upstream.rejected}; fullest minute {site.upstream.fullest_minute} of {LIMIT}"
    )
    print(f"memory {', '.join(f'{one:.0f}' for one in memory)} MiB; replicas: {status['replicas']}")


if __name__ == "__main__":
    uvloop.run(
        main(
            sys.argv[1] if len(sys.argv) > 1 else "kill",
            int(sys.argv[2]) if len(sys.argv) > 2 else 10,
            float(sys.argv[3]) if len(sys.argv) > 3 else 100.0,
        )
    )
