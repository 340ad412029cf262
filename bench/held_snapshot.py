"""What a snapshot that another program keeps open costs a replica: events are recorded at a steady
rate and delivered, while a transaction of another connection, which has read, stays open.

    python -m bench.held_snapshot [MINUTES_HELD [MINUTES_BESIDE]]

The snapshot is taken after `MINUTES_BESIDE`, and released as long before the end. Beside what the
dispatcher does, the replica renews its session, reads signals, takes requests of a budget, is
probed, counts its outbox and prunes, as the daemon does but more often. Each minute shows what the
callers waited and what the server took; at the end come the statements whose time has grown most.
"""

import itertools
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import asyncpg

from bench.deliveries import RATE, change, delivering
from bench.processes import percentile, server
from bench.throughput import DURABLE, replica, server_seconds
from tests.support.postgresql import Server, running_server
from watcher.core.clock import wall_clock
from watcher.core.interfaces.store import Store
from watcher.core.tasks import TaskKey, Watch, WatchRequest, WatchState
from watcher.core.wakeup import Wakeup
from watcher.stores.postgresql.store import PostgresqlStore

TIMED = ("record", "due", "settle", "prune")
CHANGES = 3
"""Of each task, a second apart; the last one ends it."""
TOGETHER = 5
"""Changes in one answer of a source."""
RETENTION = 60.0
WORTH_SHOWING = 20.0
"""Milliseconds more a minute."""
ACCOUNTED = (*DURABLE, "shared_preload_libraries=pg_stat_statements")
STATEMENTS = """
SELECT query, calls, total_exec_time, shared_blks_hit + shared_blks_read FROM pg_stat_statements
JOIN pg_database AS d ON d.oid = dbid WHERE datname = current_database() AND calls > 0
"""
SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM watcher_schema"


@dataclass(frozen=True)
class Spent:
    """What the server has spent on a statement: milliseconds, and blocks that it has read, which no
    other load changes.
    """

    calls: int = 0
    time: float = 0.0
    blocks: int = 0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(self.calls + other.calls, self.time + other.time, self.blocks + other.blocks)

    def __sub__(self, other: "Spent") -> "Spent":
        return Spent(self.calls - other.calls, self.time - other.time, self.blocks - other.blocks)

    def text(self) -> str:
        calls = max(self.calls, 1)
        return f"{self.time / calls:7.2f} ms {self.blocks / calls:7.0f} blocks"


@dataclass(frozen=True)
class Minute:
    """What one minute took: milliseconds of each call, and what was spent on each statement."""

    held: bool
    calls: dict[str, list[float]]
    statements: dict[str, Spent]
    server: float
    client: float

    def text(self, number: int) -> str:
        events = len(self.calls["record"]) * TOGETHER
        timed = ", ".join(
            f"{name} {percentile(found, 0.5):.1f}/{percentile(found, 0.99):.1f}/{max(found):.0f}"
            for name in TIMED
            if (found := self.calls[name])
        )
        total = sum(spent.time for spent in self.statements.values())
        return (
            f"{number:3} {'held' if self.held else '    '} {events:6} events; ms p50/p99/max:"
            f" {timed}; per 1,000: statements {total / events:.2f} s,"
            f" CPU of server {self.server / events * 1000:.2f} s,"
            f" of client {self.client / events * 1000:.2f} s"
        )


@dataclass
class Meter:
    """Times the calls of a store, and reads what its server has spent."""

    served: Server
    connection: "asyncpg.Connection[asyncpg.Record]"
    _calls: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    _statements: dict[str, Spent] = field(default_factory=dict)
    _server: float = 0.0
    _client: float = 0.0

    def watch(self, store: Any) -> None:
        for name in TIMED:
            setattr(store, name, self._timed(name, getattr(store, name)))

    def _timed(
        self, name: str, call: Callable[..., Awaitable[Any]]
    ) -> Callable[..., Awaitable[Any]]:
        async def timed(*arguments: Any) -> Any:
            began = time.perf_counter()
            result = await call(*arguments)
            self._calls[name].append((time.perf_counter() - began) * 1000)
            return result

        return timed

    async def minute(self, *, held: bool) -> Minute:
        """Return what was spent since the last call."""
        found: dict[str, Spent] = defaultdict(Spent)
        for query, *spent in await self.connection.fetch(STATEMENTS):
            found[" ".join(query.split())] += Spent(*spent)
        since = {
            text: spent - before
            for text, spent in found.items()
            if spent != (before := self._statements.get(text, Spent()))
        }
        server, client = server_seconds(self.served), time.process_time()
        calls, self._calls = self._calls, defaultdict(list)
        minute = Minute(held, calls, since, server - self._server, client - self._client)
        self._statements, self._server, self._client = dict(found), server, client
        return minute


async def record(store: Store, outbox: Wakeup) -> None:
    """Add tasks and record their changes at a steady rate, several at a time, for ever."""
    began = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        for batch in itertools.count():
            keys = [TaskKey("mixpeek", f"task_{batch}_{number}") for number in range(RATE)]
            added = await store.add([WatchRequest(key=key) for key in keys], wall_clock())
            for place in range(0, RATE, TOGETHER):
                begins = began + batch * CHANGES + place / RATE
                watches = added.watches[place : place + TOGETHER]
                tasks.start_soon(_record_tasks, store, outbox, watches, begins)
            await anyio.sleep_until(began + (batch + 1) * CHANGES)


async def _record_tasks(
    store: Store, outbox: Wakeup, watches: Sequence[Watch], begins: float
) -> None:
    for number in range(CHANGES):
        await anyio.sleep_until(begins + number)
        state = WatchState.DONE if number == CHANGES - 1 else WatchState.ACTIVE
        now = wall_clock()
        changes = [change(watch, now) for watch in watches]
        watches = [replace(one.watch, changed_at=now, state=state) for one in changes]
        moved = [replace(one, watch=watch) for one, watch in zip(changes, watches, strict=True)]
        assert all(await store.record(moved))
        outbox.set()


async def keep_up(store: PostgresqlStore) -> None:
    """Do what the daemon does beside, each second, and what it does every half minute or later."""
    last: int | None = None
    for second in itertools.count():
        last = (await store.signals(last)).last
        await store.version()
        await store.take_requests("mixpeek list", 10.0, 10.0, 1)
        await store.ping()
        if second % 30 == 0:
            await store.outbox()
            await store.prune(wall_clock() - RETENTION)
        await anyio.sleep(1)


async def minutes(served: Server, url: str, held: int, beside: int) -> list[Minute]:
    """Run, and print a line for each minute."""
    store_url = await served.new_store()
    found: list[Minute] = []
    meter = Meter(served, await asyncpg.connect(store_url))
    snapshot = await asyncpg.connect(store_url)
    await meter.connection.execute("CREATE EXTENSION pg_stat_statements")
    outbox = Wakeup()
    async with replica(store_url) as store, anyio.create_task_group() as tasks:
        assert isinstance(store, PostgresqlStore)
        meter.watch(store)
        async with delivering(store, outbox, url) as start:
            start()
            tasks.start_soon(record, store, outbox)
            tasks.start_soon(keep_up, store)
            await meter.minute(held=False)
            began = anyio.current_time()
            for number in range(held + 2 * beside):
                if number == beside:
                    await snapshot.execute(SNAPSHOT)
                if number == beside + held:
                    await snapshot.execute("COMMIT")
                await anyio.sleep_until(began + (number + 1) * 60)
                found.append(await meter.minute(held=beside <= number < beside + held))
                print(found[-1].text(number + 1), flush=True)
            tasks.cancel_scope.cancel()
    await snapshot.close()
    await meter.connection.close()
    return found


def grown(first: Minute, last: Minute) -> list[str]:
    """Return a line for each statement that takes longer in the last of two minutes."""
    found: list[tuple[float, str]] = []
    for text, after in last.statements.items():
        before = first.statements.get(text, Spent())
        more = after.time - before.time / max(before.calls, 1) * after.calls
        line = f"{before.text()} -> {after.text()}, {after.calls:6} calls: {text[:100]}"
        found.append((more, line))
    return [line for more, line in sorted(found, reverse=True) if more > WORTH_SHOWING]


def main(held: int = 10, beside: int = 2) -> None:
    options = {"use_uvloop": True}
    with tempfile.TemporaryDirectory(prefix="pg") as name:
        folder = Path(name)
        with (
            server("bench.receiver", folder, str(folder / "times")) as (_, url),
            running_server(folder / "s", settings=ACCOUNTED) as served,
        ):
            found = anyio.run(minutes, served, url, held, beside, backend_options=options)
    print("mean of the minute before the snapshot -> of its last one:")
    print("\n".join(grown(found[beside - 1], found[beside + held - 1])))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
