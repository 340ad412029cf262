"""A thousand tasks per request: how soon a change is delivered within an enforced rate limit, and
how long a start with a million stored watches takes. `bench/changes.py` has more tasks than a page
holds.

python -m bench.polling [limit | million]
"""

import json
import math
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx

from bench.processes import SECRET, daemon, free_port, percentile, server, until_ready
from watcher.stores.sqlite import store as sqlite

LATENCY = 0.05
LIMIT = 60
CHANGES_A_SECOND = 8.0
MEASURED_FOR = 150.0
QUIET = 45.0
PATIENCE = 45.0
"""Seconds before the end from which changes do not count."""
MILLION = 1_000_000


def prefill(folder: Path, count: int, now: float | None = None) -> None:
    """Store running tasks, and one that has ended, as a daemon that ran before has left them at
    `now`, by default the present.
    """

    async def create() -> None:
        async with sqlite.create(f"sqlite:///{folder}/watcher.db"):
            pass

    anyio.run(create)
    now = time.time() if now is None else now
    rows = (("mixpeek", f"task_{number}", now, now, now) for number in range(count))
    with closing(sqlite3.connect(folder / "watcher.db")) as connection:
        connection.executemany(
            "INSERT INTO watches (source, task_id, status, sequence, task_type, added_at, "
            "first_seen_at, changed_at)"
            " VALUES (?, ?, 'IN_PROGRESS', 1, 'api_buckets_batches_process', ?, ?, ?)",
            rows,
        )
        connection.execute(
            "INSERT INTO watches (source, task_id, state, status, sequence, added_at, changed_at)"
            " VALUES ('mixpeek', 'ended_1', 'done', 'COMPLETED', 1, ?, ?)",
            (now, now),
        )
        connection.commit()


@contextmanager
def site(
    folder: Path, limit: int | None, upstream_does: Sequence[object], **environ: str
) -> Iterator[tuple[Any, str]]:
    """Run upstream, receiver and daemon; gives the daemon's process and its URL. `upstream_does`
    are the arguments of `bench/upstream.py` from CHANGES_A_SECOND on.
    """
    arguments = (folder / "report", limit or 0, LATENCY, *upstream_does)
    with (
        server("bench.upstream", folder, *map(str, arguments)) as (_, upstream),
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


def delays(folder: Path, report: Mapping[str, Any], patience: float = PATIENCE) -> list[float]:
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
    ends = max((at for _, _, at in report["changes"]), default=0.0) - patience
    for task_id, status, at in report["changes"]:
        again = task_id in last and at - last[task_id][1] < 60
        last[task_id] = (status, at)
        if not again and at < ends:
            found.append(
                min(
                    (one - at for one in arrived.get((task_id, status), []) if one >= at),
                    default=math.inf,
                )
            )
    return found


def within_limit(tasks: int, **environ: str) -> None:
    """Change tasks while the upstream enforces its limit."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prefill(folder, tasks)
        with site(folder, LIMIT, (CHANGES_A_SECOND, tasks, QUIET), **environ) as (_, url):
            until_ready(url)
            time.sleep(QUIET + MEASURED_FOR)
            polled = metric(url, "watcher_observations_total")
            requests = metric(url, "watcher_upstream_requests_total")
        report = json.loads((folder / "report").read_text())
        seconds = delays(folder, report)
    print(
        f"{tasks:7} running tasks, {LIMIT} requests a minute enforced: {report['rejected']} "
        f"answers 429, at most"
        f" {report['fullest_minute']} a minute and route; change -> webhook p50 "
        f"{percentile(seconds, 0.5):.1f} s,"
        f" p99 {percentile(seconds, 0.99):.1f} s ({len(seconds)} changes); "
        f"{polled / requests:.0f} times fewer requests"
        " than one GET a task"
    )


def million() -> None:
    """Start with a million stored watches."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prefill(folder, MILLION)
        began = time.time()
        with site(folder, None, ()) as (_, url):
            until_ready(url)
            ready = time.time() - began
            while metric(url, "watcher_watches") < MILLION:
                time.sleep(0.2)
            restored = time.time() - began
        report = json.loads((folder / "report").read_text())
    print(
        f"{MILLION:7} stored watches: ready after {ready:.1f} s, first request after"
        f" {report['first_request_at'] - began:.1f} s, all on the schedule after {restored:.1f} s"
    )


if __name__ == "__main__":
    if "million" not in sys.argv[1:]:
        within_limit(1000, WATCHER_POLLING__MAX_INTERVAL="2s")
    if "limit" not in sys.argv[1:]:
        million()
