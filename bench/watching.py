"""What watching costs, one task a request: processor and memory, adding tasks, and starting with
many.
"""

import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path

import anyio
import httpx

from bench.processes import cpu_seconds, daemon, free_port, resident_mebibytes, server, until_ready
from watcher.core.clock import wall_clock
from watcher.core.tasks import TaskKey, WatchRequest
from watcher.stores.sqlite import store as sqlite

SETTLED_AFTER = 75.0
"""Seconds until every task is polled at the longest interval."""
MEASURED_FOR = 60.0
STORED = 100_000


def add(url: str, count: int) -> float:
    """Add tasks through the API, 1,000 a request, and return the seconds it took."""
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        began = time.perf_counter()
        for start in range(0, count, 1000):
            entries = [{"task_id": f"task_{start + number}"} for number in range(1000)]
            client.post("/v1/watches", json=entries).raise_for_status()
        return time.perf_counter() - began


def plain_inserts(folder: Path, count: int) -> float:
    """Return the seconds that `sqlite3` alone takes to store as many rows, a transaction for each
    thousand.
    """
    with closing(sqlite3.connect(folder / "plain.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(
            "CREATE TABLE watches (id INTEGER PRIMARY KEY, source, task_id, added_at, UNIQUE "
            "(source, task_id))"
        )
        began = time.perf_counter()
        for start in range(0, count, 1000):
            connection.execute("BEGIN")
            rows = [("mixpeek", f"task_{start + number}", 0.0) for number in range(1000)]
            connection.executemany(
                "INSERT INTO watches (source, task_id, added_at) VALUES (?, ?, ?)", rows
            )
            connection.execute("COMMIT")
        return time.perf_counter() - began


def unchanged(count: int) -> None:
    """Watch `count` tasks that stay as they are."""
    with (
        tempfile.TemporaryDirectory() as name,
        server("bench.upstream", Path(name)) as (_, upstream),
    ):
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        with daemon(Path(name), upstream, port, WATCHER_POLLING__MODE="get") as process:
            until_ready(url)
            seconds = add(url, count)
            time.sleep(SETTLED_AFTER)
            before = cpu_seconds(process.pid)
            time.sleep(MEASURED_FOR)
            share = (cpu_seconds(process.pid) - before) / MEASURED_FOR
            memory = resident_mebibytes(process.pid)
        print(f"{count:6} unchanged tasks       {share:.1%} of a core, RSS {memory:.0f} MiB")
        if count == 10_000:
            plain = plain_inserts(Path(name), count)
            ratio = seconds / plain
            print(
                f"{count:6} added through the API {seconds:.2f} s, {ratio:.1f} times the plain "
                f"inserts' {plain:.2f} s"
            )


async def prefill(folder: Path) -> None:
    """Store watches as a daemon that ran before has left them."""
    async with sqlite.create(f"sqlite:///{folder}/watcher.db") as store:
        for start in range(0, STORED, 1000):
            requests = [
                WatchRequest(key=TaskKey("mixpeek", f"task_{start + n}")) for n in range(1000)
            ]
            await store.add(requests, wall_clock())


def start() -> None:
    """Start with many stored watches."""
    with (
        tempfile.TemporaryDirectory() as name,
        server("bench.upstream", Path(name)) as (_, upstream),
    ):
        anyio.run(prefill, Path(name))
        port = free_port()
        began = time.perf_counter()
        with daemon(Path(name), upstream, port):
            until_ready(f"http://127.0.0.1:{port}")
            ready = time.perf_counter() - began
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
                while _watches(client) < STORED:
                    time.sleep(0.05)
            restored = time.perf_counter() - began
    print(
        f"{STORED:6} stored watches        ready after {ready:.1f} s, all on the schedule after "
        f"{restored:.1f} s"
    )


def _watches(client: httpx.Client) -> float:
    """Return how many watches the daemon has on its schedule, whatever their status."""
    lines = client.get("/metrics").text.splitlines()
    return sum(
        float(line.rpartition(" ")[2]) for line in lines if line.startswith("watcher_watches{")
    )


if __name__ == "__main__":
    start()
    unchanged(1000)
    unchanged(10_000)
