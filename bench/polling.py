"""A thousand tasks per request: how soon a change is reported within an enforced rate limit, and
what many tasks cost.

python -m bench.polling [limit | million]
"""

import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx

from bench.processes import (
    SECRET,
    cpu_seconds,
    daemon,
    free_port,
    percentile,
    resident_mebibytes,
    server,
    until_ready,
)
from watcher.stores.sqlite import store as sqlite

LATENCY = 0.05
LIMIT = 60
CHANGES_A_SECOND = 8.0
MEASURED_FOR = 150.0
MILLION = 1_000_000


def prefill(folder: Path, count: int) -> None:
    """Store running tasks as a daemon that ran before has left them."""

    async def create() -> None:
        async with sqlite.create(f"sqlite:///{folder}/watcher.db"):
            pass

    anyio.run(create)
    now = time.time()
    rows = (("mixpeek", f"task_{number}", now, now, now) for number in range(count))
    with closing(sqlite3.connect(folder / "watcher.db")) as connection:
        connection.executemany(
            "INSERT INTO watches (source, task_id, status, sequence, task_type, added_at, "
            "first_seen_at, changed_at)"
            " VALUES (?, ?, 'IN_PROGRESS', 1, 'api_buckets_batches_process', ?, ?, ?)",
            rows,
        )
        connection.commit()


@contextmanager
def site(
    folder: Path, limit: int | None, tasks: int, changes: float, **environ: str
) -> Iterator[tuple[Any, str]]:
    """Run upstream, receiver and daemon; gives the daemon's process and its URL."""
    arguments = str(folder / "report"), str(limit or 0), str(LATENCY), str(changes), str(tasks)
    with (
        server("bench.upstream", folder, *arguments) as (_, upstream),
        server("bench.receiver", folder, str(folder / "times")) as (_, receiver),
    ):
        port = free_port()
        variables = {
            "WATCHER_SOURCES": json.dumps([{"base_url": upstream, "requests_per_minute": limit}]),
            "WATCHER_WEBHOOK_URL": receiver,
            "WATCHER_WEBHOOK_SECRETS": SECRET,
            **environ,
        }
        with daemon(folder, upstream, port, **variables) as process:
            yield process, f"http://127.0.0.1:{port}"


def metric(url: str, name: str) -> float:
    """Return the sum of a metric's series."""
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        lines = client.get("/metrics").text.splitlines()
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith((f"{name}{{", f"{name} "))
    )


def delays(folder: Path, report: dict[str, Any]) -> list[float]:
    """Return the seconds from each change at upstream to its webhook; a change without a webhook
    counts as infinite.
    """
    arrived: dict[tuple[str, str], list[float]] = {}
    for line in (folder / "times").read_text().splitlines():
        _, at, task_id, status = line.split()
        arrived.setdefault((task_id, status), []).append(float(at))
    # A change that was reverted before the next poll sends nothing.
    last: dict[str, tuple[str, float]] = {}
    found = []
    ends = max((at for _, _, at in report["changes"]), default=0.0) - 45
    for task_id, status, at in report["changes"]:
        again = task_id in last and at - last[task_id][1] < 60
        last[task_id] = (status, at)
        if not again and at < ends:
            found.append(
                min(
                    (one - at for one in arrived.get((task_id, status), []) if one >= at),
                    default=1e9,
                )
            )
    return found


def within_limit(tasks: int, **environ: str) -> None:
    """Change tasks at random while the upstream enforces its limit."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prefill(folder, tasks)
        with site(folder, LIMIT, tasks, CHANGES_A_SECOND, **environ) as (_, url):
            until_ready(url)
            time.sleep(45 + MEASURED_FOR)
            polled = metric(url, "watcher_observations_total")
            requests = metric(url, "watcher_upstream_requests_total")
        report = json.loads((folder / "report").read_text())
        seconds = delays(folder, report)
    print(
        f"{tasks:7} running tasks, {LIMIT} requests a minute enforced: {report['refused']} "
        f"answers 429, at most"
        f" {report['fullest_minute']} a minute and route; change -> webhook p50 "
        f"{percentile(seconds, 0.5):.1f} s,"
        f" p99 {percentile(seconds, 0.99):.1f} s ({len(seconds)} changes); "
        f"{polled / requests:.0f} times fewer requests"
        " than one GET a task"
    )


def million() -> None:
    """Watch a million running tasks without a limit."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prefill(folder, MILLION)
        began = time.time()
        with site(folder, None, MILLION, 0) as (process, url):
            until_ready(url)
            ready = time.time() - began
            while metric(url, "watcher_watches") < MILLION:
                time.sleep(0.2)
            restored = time.time() - began
            time.sleep(70)
            before, pages = cpu_seconds(process.pid), metric(url, "watcher_upstream_requests_total")
            time.sleep(60)
            used = cpu_seconds(process.pid) - before
            pages = metric(url, "watcher_upstream_requests_total") - pages
            memory = resident_mebibytes(process.pid)
        report = json.loads((folder / "report").read_text())
    print(
        f"{MILLION:7} running tasks: {used / 60:.1%} of a core, RSS {memory:.0f} MiB, longest "
        f"between two questions"
        f" {report['longest_gap']:.1f} s; {used / pages * 1000:.2f} ms of CPU a page of 1,000, "
        f"everything included"
    )
    print(
        f"{MILLION:7} stored watches: ready after {ready:.1f} s, first question after"
        f" {report['first_request_at'] - began:.1f} s, all on the schedule after {restored:.1f} s"
    )


if __name__ == "__main__":
    if "million" not in sys.argv[1:]:
        within_limit(30_000)
        within_limit(1000, WATCHER_POLLING__MAX_INTERVAL="2s")
    if "limit" not in sys.argv[1:]:
        million()
