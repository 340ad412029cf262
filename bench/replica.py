"""How many statements a replica with many tasks runs while nothing changes, and how soon it
delivers what changes.

    python -m bench.replica [quiet|paced|foreign]

`quiet` counts statements in the server's log, for a minute, after the minute in which every task is
polled for the first time. `paced` stores 200 events a second while they are delivered, in
PostgreSQL and in SQLite in turn; `foreign` does so in PostgreSQL while the same replica delivers
them, and while another one does, in turn.
"""

import json
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import asyncpg

from bench.deliveries import RATE, delivering, paced_in, recorded_in_turn
from bench.deliveries import paced as paced_in_file
from bench.processes import (
    SECRET,
    cpu_seconds,
    daemon,
    free_port,
    percentile,
    server,
    until_ready,
)
from bench.throughput import DURABLE, GROUPS, ROUNDS, replica, server_seconds
from tests.support.postgresql import Server, running_server
from watcher.core.clock import wall_clock
from watcher.core.tasks import TaskKey, WatchRequest
from watcher.core.wakeup import Wakeup
from watcher.daemon.following import Follower
from watcher.stores import postgresql

TASKS = 100_000
LIMIT = 600
"""Requests a minute that upstream allows."""
SETTLED_AFTER = 60.0
"""Seconds until every task was polled."""
MEASURED_FOR = 60.0
_SEEN = """
UPDATE watches SET status = 'IN_PROGRESS', sequence = 1, task_type = 'api_buckets_batches_process',
    first_seen_at = $1, changed_at = $1
"""
_STATEMENT = re.compile(r"LOG:  (?:statement|execute [^:]*): *(.*)")


async def prefill(url: str) -> None:
    """Store watches, and let the server log what is executed from now on."""
    async with postgresql.create(url) as store:
        for start in range(0, TASKS, 1000):
            keys = [TaskKey("mixpeek", f"task_{start + number}") for number in range(1000)]
            await store.add([WatchRequest(key=key) for key in keys], wall_clock())
    connection = await asyncpg.connect(url)
    await connection.execute(_SEEN, wall_clock())
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f"ALTER DATABASE {name} SET log_statement = 'all'")
    await connection.close()


def statements(log: Path) -> Counter[str]:
    """Return how often the beginning of each statement is in the log."""
    found: Counter[str] = Counter()
    lines = iter(log.read_text(errors="replace").splitlines())
    for line in lines:
        if (match := _STATEMENT.search(line)) is not None:
            found[" ".join((match[1] or next(lines, "")).split())[:60]] += 1
    return found


def quiet() -> None:
    """Count the statements, and print a line for each kind."""
    with (
        tempfile.TemporaryDirectory(prefix="pg") as name,
        server("bench.upstream", Path(name)) as (_, upstream),
        running_server(Path(name) / "s", settings=DURABLE) as database,
    ):
        url = anyio.run(new_store, database)
        anyio.run(prefill, url)
        port = free_port()
        source = {"base_url": upstream, "requests_per_minute": LIMIT}
        channel = {"name": "backend", "type": "webhook", "url": upstream, "secrets": [SECRET]}
        environ = {
            "WATCHER_SOURCES": json.dumps([source]),
            "WATCHER_CHANNELS": json.dumps([channel]),
            "WATCHER_STORE__URL": url,
        }
        with daemon(Path(name), upstream, port, **environ) as process:
            until_ready(f"http://127.0.0.1:{port}")
            time.sleep(SETTLED_AFTER)
            log = database.folder / "log"
            before, client = statements(log), cpu_seconds(process.pid)
            served = server_seconds(database)
            time.sleep(MEASURED_FOR)
            counted = statements(log) - before
            client = (cpu_seconds(process.pid) - client) / MEASURED_FOR
            served = (server_seconds(database) - served) / MEASURED_FOR
        print(
            f"{TASKS} unchanged tasks: {counted.total() / MEASURED_FOR:.2f} statements a second;"
            f" CPU of the replica {client:.1%}, of the server {served:.1%} of a core"
        )
        for statement, count in counted.most_common():
            print(f"{count / MEASURED_FOR:6.2f} {statement}")


def paced() -> None:
    """Deliver at a steady rate, and print a line for each run."""
    delays_in_turn(
        {
            "sqlite": lambda folder, database, urls: paced_in_file(folder, urls),
            "postgresql": lambda folder, database, urls: paced_here(database, urls),
        }
    )


def foreign() -> None:
    """Deliver at a steady rate what another replica records; print a line for each run."""
    delays_in_turn(
        {
            "the same replica": lambda folder, database, urls: paced_here(database, urls),
            "another replica": lambda folder, database, urls: paced_elsewhere(database, urls),
        }
    )


def delays_in_turn(
    kinds: Mapping[str, Callable[[Path, Server, Sequence[str]], Awaitable[dict[str, float]]]],
) -> None:
    """Run each of `kinds`, which return when events were stored; print how soon they arrived."""
    runs: list[tuple[str, dict[str, float]]] = []
    with tempfile.TemporaryDirectory(prefix="pg") as name:
        folder = Path(name)
        with (
            server("bench.receiver", folder, str(folder / "times")) as (_, url),
            running_server(folder / "s", settings=DURABLE) as database,
        ):
            for kind, run in list(kinds.items()) * ROUNDS:
                options = {"use_uvloop": True}
                stored = anyio.run(run, folder, database, [url], backend_options=options)
                runs.append((kind, stored))
        arrived = dict(line.split()[:2] for line in (folder / "times").read_text().splitlines())
    for kind, stored in runs:
        delays = [(float(arrived[event_id]) - at) * 1000 for event_id, at in stored.items()]
        print(
            f"{kind:16} stored -> at the receiver   p50 {percentile(delays, 0.5):.1f} ms, p99"
            f" {percentile(delays, 0.99):.1f} ms at {RATE} events a second"
        )


async def paced_here(database: Server, urls: Sequence[str]) -> dict[str, float]:
    return await paced_in(replica(await database.new_store()), urls)


async def paced_elsewhere(database: Server, urls: Sequence[str]) -> dict[str, float]:
    """Record at one replica while another one, which follows it, delivers."""
    url = await database.new_store()
    outbox = Wakeup()
    source, channel = GROUPS
    async with (
        replica(url, [source]) as recording,
        replica(url, [channel]) as other,
        delivering(other, outbox, *urls) as start,
        anyio.create_task_group() as tasks,
    ):
        nothing_else: Any = SimpleNamespace(sources={}, channels={})
        follower = Follower(other, nothing_else, outbox)
        tasks.start_soon(follower.run)
        for listen in (follower.listen, partial(recording.follow, lambda: None)):
            tasks.start_soon(listen, lambda: None)
        start()
        stored = await recorded_in_turn(recording, Wakeup(), len(urls))
        tasks.cancel_scope.cancel()
    return {event_id: at for event_id, (_, at) in stored.items()}


async def new_store(database: Server) -> str:
    return await database.new_store()


if __name__ == "__main__":
    steps = {"quiet": quiet, "paced": paced, "foreign": foreign}
    for step in sys.argv[1:] or steps:
        steps[step]()
