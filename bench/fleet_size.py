"""What many watches cost three replicas on one PostgreSQL server: how soon after their start they
poll, and their memory.

    python -m bench.fleet_size [WATCHES [SECONDS]]

The watches, a million by default, are copied into a new store. The replicas are started together
and poll an upstream without a limit, every 30 s. Shown are for each replica, from the start on:
when its first request came, when it had read all its watches, when it had polled each of them once,
and its resident set, now and at its most, SECONDS (60) after the last of these.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import asyncpg
import httpx
import uvloop

from bench import upstream
from bench.fleet import DURABLE, REPLICAS
from bench.processes import COMMAND, cpu_seconds, free_port, peak_mebibytes, resident_mebibytes
from tests.support.postgresql import Server, running_server
from watcher.core.ownership import slot

PATIENCE = 240.0
_COLUMNS = ("source", "task_id", "slot", "status", "sequence", "added_at", "changed_at")

_ENDED = """
INSERT INTO watches (source, task_id, slot, state, status, sequence, added_at, changed_at)
VALUES ('mixpeek', 'ended_1', $1, 'done', 'COMPLETED', 1, $2, $2)
"""


def task_id(number: int) -> str:
    """Return an ID as long as those of the API."""
    return f"task_{number:012x}{number * 2654435761 % 2**32:08x}"


async def fill(server: Server, watches: int) -> str:
    """Store running tasks, and one that has ended; return the URL of the store."""
    url, now = await server.new_store(), time.time()
    connection = await asyncpg.connect(url)
    try:
        for first in range(0, watches, 100_000):
            ids = map(task_id, range(first, min(first + 100_000, watches)))
            rows = [("mixpeek", one, slot(one), "IN_PROGRESS", 1, now, now) for one in ids]
            await connection.copy_records_to_table("watches", records=rows, columns=_COLUMNS)
        await connection.execute(_ENDED, slot("ended_1"), now)
        await connection.execute("VACUUM ANALYZE watches")
    finally:
        await connection.close()
    return url


_WATCHES = "watcher_watches{"


@dataclass
class Replica:
    """A replica, with an upstream of its own that counts what it polls. Times are in seconds from
    the start of all.
    """

    url: str
    source: str
    upstream: upstream.Upstream
    port: int = field(default_factory=free_port)
    watches: int = 0
    read_after: float = 0.0
    polled_after: float = 0.0

    def start(self) -> None:
        polled = {"base_url": self.source, "requests_per_minute": None}
        environ = {
            **os.environ,
            "MIXPEEK_API_KEY": "sk_bench",
            "WATCHER_SOURCES": json.dumps([polled]),
            "WATCHER_STORE__URL": self.url,
            "WATCHER_SERVER__PORT": str(self.port),
            "WATCHER_LOG__LEVEL": os.environ.get("LEVEL", "error"),
        }
        self.process = subprocess.Popen([COMMAND, "run"], env=environ)

    async def look(self, client: httpx.AsyncClient, began: float) -> None:
        """Note how many watches the replica has, and whether it has polled so many."""
        try:
            answer = await client.get(f"http://127.0.0.1:{self.port}/metrics")
        except httpx.HTTPError:
            return
        lines = [line for line in answer.text.splitlines() if line.startswith(_WATCHES)]
        watches, after = sum(int(float(line.split()[-1])) for line in lines), time.time() - began
        if watches != self.watches:
            self.watches, self.read_after, self.polled_after = watches, after, 0.0
        if not self.polled_after and len(self.upstream.last_polled) >= watches > 0:
            self.polled_after = after

    def line(self, began: float) -> str:
        first = (self.upstream.first_request_at or began) - began
        return (
            f"{self.watches:8,} watches: first request after {first:4.1f} s, all read after"
            f" {self.read_after:4.1f} s, polled after {self.polled_after:4.1f} s; RSS"
            f" {resident_mebibytes(self.process.pid):4.0f} MiB, at most"
            f" {peak_mebibytes(self.process.pid):4.0f}; CPU {cpu_seconds(self.process.pid):.1f} s"
        )


async def measure(replicas: Sequence[Replica], watches: int, seconds: float) -> None:
    """Start the replicas, and print a line for each once all watches were polled."""
    began = time.time()
    for replica in replicas:
        replica.start()
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        quiet_at = began + PATIENCE
        while time.time() < quiet_at:
            await asyncio.sleep(0.5)
            for replica in replicas:
                await replica.look(client, began)
            complete = sum(replica.watches for replica in replicas) == watches
            if complete and all(replica.polled_after for replica in replicas):
                quiet_at = min(quiet_at, time.time() + seconds)
    for replica in replicas:
        print(replica.line(began))


async def main(watches: int, seconds: float) -> None:
    """Fill a store, and measure."""
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm", prefix="f") as name,
        running_server(Path(name) / "s", settings=DURABLE) as server,
    ):
        began = time.time()
        url = await fill(server, watches)
        print(f"{watches:,} watches stored in {time.time() - began:.0f} s", flush=True)
        loop = asyncio.get_running_loop()
        replicas = []
        for _ in range(REPLICAS):
            counted = upstream.Upstream(limit=0, latency=0)
            serving = await loop.create_server(partial(upstream.Connection, counted), "127.0.0.1")
            port = serving.sockets[0].getsockname()[1]
            replicas.append(Replica(url, f"http://127.0.0.1:{port}", counted))
        try:
            await measure(replicas, watches, seconds)
        finally:
            for replica in replicas:
                replica.process.terminate()
            for replica in replicas:
                replica.process.wait()


if __name__ == "__main__":
    arguments = sys.argv[1:]
    uvloop.run(
        main(
            int(arguments[0]) if arguments else 1_000_000,
            float(arguments[1]) if len(arguments) > 1 else 60.0,
        )
    )
