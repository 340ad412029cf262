"""How many deliveries a second each store records, claims and settles, and what that costs.

    python -m bench.throughput [sqlite|postgresql [EVENTS]]

Without a store both run, in turn, so their ratio is of one moment. The changes come as pages of 50,
one page after the other; deliveries are claimed and settled as the dispatcher of a webhook with
eight senders does, whose receiver takes no time. The PostgreSQL store is that of a replica that
owns all slices; its server, which stores durably, runs on both cores. `trips` are the statements
for which the client waits, counted in a run of their own, in the server's log.
"""

import os
import sys
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import asyncpg

from bench.deliveries import change, watched
from bench.outbox import delivered
from bench.processes import cpu_seconds
from tests.support.postgresql import Server, running_server
from watcher.core.clock import wall_clock
from watcher.core.interfaces.store import Store
from watcher.core.ownership import RENEW_INTERVAL, Group, Member
from watcher.core.tasks import Watch
from watcher.core.wakeup import Wakeup
from watcher.daemon.fleet import SharedStore
from watcher.stores import postgresql
from watcher.stores.sqlite import store as sqlite

EVENTS = 20_000
PAGE = 50
CLAIMED = 128
SETTLED = 32
ROUNDS = 3
CHANNEL = "channel_0"
GROUPS = (Group(name="source mixpeek"), Group(name=f"channel {CHANNEL}", slices=4))
DURABLE = ("listen_addresses=", "max_connections=40", "shared_buffers=256MB")
_LOGGED = ("statement: ", "execute ")


@dataclass(frozen=True)
class Cost:
    """What one step took, for all events."""

    seconds: float
    client: float
    server: float

    def text(self, name: str, events: int) -> str:
        thousands = events / 1000
        return (
            f"{name:8} {events / self.seconds:7.0f} a second, CPU per 1,000:"
            f" client {self.client / thousands:.3f} s, server {self.server / thousands:.3f} s"
        )


async def pages(store: Store, watches: Sequence[Watch]) -> None:
    for start in range(0, len(watches), PAGE):
        now = wall_clock()
        page = watches[start : start + PAGE]
        assert all(await store.record([change(watch, now, CHANNEL) for watch in page]))


class Delivering:
    """Claims and settles until `events` are settled."""

    def __init__(self, store: Store, events: int) -> None:
        self._store = store
        self._events = events
        self._claimed: set[int] = set()
        self._sent: deque[int] = deque()
        self._wakeup = Wakeup()
        self._has_sent = Wakeup()
        self.recorded = Wakeup()

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._claim)
            await self._settle()
            tasks.cancel_scope.cancel()

    async def _claim(self) -> None:
        while True:
            generation, recorded = self._wakeup.generation, self.recorded.generation
            claimed = frozenset(self._claimed)
            room = CLAIMED - len(claimed)
            if room < CLAIMED / 2:
                await self._wakeup.wait(generation)
                continue
            due = await self._store.due(CHANNEL, wall_clock(), room + len(claimed))
            new = [one.id for one in due if one.id not in claimed][:room]
            self._claimed.update(new)
            self._sent.extend(new)
            self._has_sent.set()
            if not new:
                await self.recorded.wait(recorded)

    async def _settle(self) -> None:
        settled = 0
        while settled < self._events:
            generation = self._has_sent.generation
            batch = [self._sent.popleft() for _ in range(min(len(self._sent), SETTLED))]
            if not batch:
                await self._has_sent.wait(generation)
                continue
            await self._store.settle([delivered(one) for one in batch])
            settled += len(batch)
            self._claimed.difference_update(batch)
            self._wakeup.set()


async def costs(store: Store, events: int, server: Callable[[], float]) -> dict[str, Cost]:
    """Return what recording, then claiming and settling takes; and all of it at once."""
    watches = await watched(store, events)

    async def measured(work: Callable[[], Awaitable[None]]) -> Cost:
        began, client, served = time.perf_counter(), time.process_time(), server()
        await work()
        seconds = time.perf_counter() - began
        return Cost(seconds, time.process_time() - client, server() - served)

    async def all_at_once() -> None:
        delivering = Delivering(store, events)
        moved = [replace(watch, sequence=1) for watch in watches]

        async def record() -> None:
            for start in range(0, events, PAGE):
                await pages(store, moved[start : start + PAGE])
                delivering.recorded.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(record)
            tasks.start_soon(delivering.run)

    return {
        "record": await measured(lambda: pages(store, watches)),
        "deliver": await measured(lambda: Delivering(store, events).run()),
        "all": await measured(all_at_once),
    }


@asynccontextmanager
async def replica(url: str, groups: Sequence[Group] = GROUPS) -> AsyncIterator[SharedStore]:
    """Open the store as a replica that owns these groups."""
    async with postgresql.create(url) as store, anyio.create_task_group() as tasks:
        member = Member(name="bench", version="1", started_at=wall_clock())

        async def renew() -> None:
            while True:
                await store.renew(member, groups, 0.0)
                await anyio.sleep(RENEW_INTERVAL)

        await store.renew(member, groups, 0.0)
        tasks.start_soon(renew)
        yield store
        tasks.cancel_scope.cancel()


def server_seconds(server: Server) -> float:
    """Return the processor time of all processes of a server, and of those that have ended."""
    main = int((server.folder / "data" / "postmaster.pid").read_text().split()[0])
    children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
    fields = Path(f"/proc/{main}/stat").read_text().rpartition(")")[2].split()
    ended = (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
    running = 0.0
    for process in [main, *map(int, children)]:
        with suppress(FileNotFoundError):
            running += cpu_seconds(process)
    return running + ended


def trips(server: Server) -> int:
    """Return how many statements the server has logged."""
    lines = (server.folder / "log").read_text(errors="replace").splitlines()
    return sum(any(f"LOG:  {kind}" in line for kind in _LOGGED) for line in lines)


async def on_postgresql(server: Server, events: int) -> dict[str, Cost]:
    async with replica(await server.new_store()) as store:
        return await costs(store, events, lambda: server_seconds(server))


async def trips_on_postgresql(server: Server, events: int) -> dict[str, float]:
    """Return the statements for each delivery."""
    url = await server.new_store()
    connection = await asyncpg.connect(url)
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f"ALTER DATABASE {name} SET log_statement = 'all'")
    await connection.close()
    async with replica(url) as store:
        watches = await watched(store, events)
        before = trips(server)
        await pages(store, watches)
        recorded = trips(server)
        await Delivering(store, events).run()
        delivered_after = trips(server)
    return {
        "record": (recorded - before) / (events / PAGE),
        "deliver": (delivered_after - recorded) / (events / SETTLED),
    }


async def on_sqlite(folder: Path, events: int) -> dict[str, Cost]:
    async with sqlite.create(f"sqlite:///{folder}/{time.time_ns()}.db") as store:
        return await costs(store, events, lambda: 0.0)


def main(kinds: Sequence[str] = ("sqlite", "postgresql"), events: int = EVENTS) -> None:
    """Measure, and print a line for each figure."""
    options = {"use_uvloop": True}
    with tempfile.TemporaryDirectory(prefix="pg") as name:
        folder = Path(name)
        with running_server(folder / "s", settings=DURABLE) as server:
            for _ in range(ROUNDS):
                for kind in kinds:
                    if kind == "sqlite":
                        found = anyio.run(on_sqlite, folder, events, backend_options=options)
                    else:
                        found = anyio.run(on_postgresql, server, events, backend_options=options)
                    for step, cost in found.items():
                        print(f"{kind:11} {cost.text(step, events)}", flush=True)
            if "postgresql" in kinds:
                counted = anyio.run(trips_on_postgresql, server, 3200, backend_options=options)
                for step, count in counted.items():
                    print(f"postgresql  {step:8} {count:.2f} trips a batch")


if __name__ == "__main__":
    kinds = sys.argv[1:2] or ["sqlite", "postgresql"]
    main(kinds, int(sys.argv[2]) if len(sys.argv) > 2 else EVENTS)
