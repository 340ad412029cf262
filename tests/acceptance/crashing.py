"""Transitions stored and delivered by a process that is killed again and again; run by
test_crashes.py.

    python -m tests.acceptance.crashing DATABASE RECEIVER_URL ROUNDS SEED

Each round forks a process that works on the store as the daemon does. Every other one is killed
with SIGKILL right before a statement of the writing connection (a fail point), the others after a
random time; on a slow machine there are more rounds, until enough is stored. The last process is
left alone until everything is delivered. Prints `stored EVENT_ID` for each event whose transaction
has returned.
"""

import os
import signal
import sqlite3
import sys
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from random import Random

import anyio
import httpx
from prometheus_client import CollectorRegistry

from tests.support.records import SECRET, observed
from tests.support.stores import system_events
from watcher.channels import webhook
from watcher.core.clock import wall_clock
from watcher.core.events import Change, new_event_id, task_event
from watcher.core.routing import Routing
from watcher.core.settings import RouteSettings
from watcher.core.tasks import TaskKey, Watch, WatchFilter, WatchRequest, WatchState
from watcher.core.wakeup import Wakeup
from watcher.delivery.body_memory import BodyMemory
from watcher.delivery.context import DeliveryContext
from watcher.delivery.dispatcher import Dispatcher
from watcher.delivery.notes import InMemoryNotes
from watcher.net.transport import channel_transport
from watcher.stores.sqlite import store as sqlite
from watcher.telemetry.metrics import Metrics
from watcher.telemetry.unexpected import UnexpectedErrors

TASKS = 400
TRANSITIONS = 10_000
SENDERS = 4
_STATUSES = ("QUEUED", "IN_PROGRESS", "PROCESSING", "PENDING")


def transition(watch: Watch, status: str) -> Change:
    """The change of `watch` to `status`, sent to the one channel."""
    sequence, now = watch.sequence + 1, wall_clock()
    raw = b'{"task_id":"%s","status":"%s"}' % (watch.key.task_id.encode(), status.encode())
    event = task_event(
        watch,
        observed(watch.key.task_id, status, raw),
        namespace=None,
        sequence=sequence,
        at=now,
        event_id=new_event_id(),
        channels=("backend",),
    )
    after = replace(
        watch, status=status, sequence=sequence, state=WatchState.ACTIVE, changed_at=now
    )
    return Change(watch=after, expected_sequence=watch.sequence, event=event)


async def work(
    database: Path, url: str, random: Random, *, dies_at: int | None, last: bool
) -> None:
    """Store transitions and deliver them until killed; the last process only delivers, and ends."""
    outbox = Wakeup()
    settings = _settings(url)
    async with (
        sqlite.create(f"sqlite:///{database}") as store,
        channel_transport(settings) as transport,
    ):
        if dies_at is not None:
            await fail_point(store, dies_at)
        async with anyio.create_task_group() as tasks:
            dispatcher = _dispatcher(settings, transport, store, outbox, random)
            tasks.start_soon(dispatcher.run)
            if last:
                while any(depth.pending for depth in await store.outbox()):
                    await anyio.sleep(0.05)
            else:
                await _change_forever(store, outbox, random)
            tasks.cancel_scope.cancel()


def _settings(url: str) -> webhook.Settings:
    return webhook.Settings.model_validate(
        {
            "name": "backend",
            "url": url,
            "secrets": [SECRET],
            "concurrency": SENDERS,
            "attempts": [0] + [0.05] * 99,
        }
    )


def _dispatcher(
    settings: webhook.Settings,
    transport: httpx.AsyncBaseTransport,
    store: sqlite.SqliteStore,
    outbox: Wakeup,
    random: Random,
) -> Dispatcher:
    channel = webhook.create(settings, transport=transport, notes=InMemoryNotes(), wall=wall_clock)
    routing = Routing([RouteSettings(channels=("backend",))], ["backend"])
    metrics = Metrics(CollectorRegistry(), "test")
    context = DeliveryContext(
        settings=settings,
        store=store,
        system_event=system_events(routing),
        metrics=metrics.channel("backend"),
        unexpected=UnexpectedErrors(metrics),
        bodies=BodyMemory(),
        outbox=outbox,
        wall=wall_clock,
        random=random,
    )
    return Dispatcher(channel, context)


async def _change_forever(store: sqlite.SqliteStore, outbox: Wakeup, random: Random) -> None:
    """Change random watches, up to forty in a transaction."""
    requests = [WatchRequest(key=TaskKey("mixpeek", f"task_{n}")) for n in range(TASKS)]
    await store.add(requests, wall_clock())
    watches, _ = await store.list_watches(WatchFilter(), TASKS, None)
    by_key = {watch.key: watch for watch in watches}
    while True:
        keys = random.sample(sorted(by_key), random.randint(1, 40))
        changes = [transition(by_key[key], random.choice(_STATUSES)) for key in keys]
        await record(store, changes, by_key)
        outbox.set()
        await anyio.sleep(random.random() * 0.01)


async def record(
    store: sqlite.SqliteStore, changes: Sequence[Change], watches: dict[TaskKey, Watch]
) -> None:
    """Store `changes`, and print their event IDs once the transaction has returned."""
    applied = await store.record(changes)
    assert all(applied)
    for change in changes:
        assert change.event is not None
        watches[change.watch.key] = change.watch
        os.write(1, f"stored {change.event.event_id}\n".encode())


async def fail_point(store: sqlite.SqliteStore, dies_at: int) -> None:
    """Kill this process right before the statement of that number."""
    remaining = dies_at

    def count(_: str) -> None:
        nonlocal remaining
        remaining -= 1
        if remaining <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    await store._database.writer.set_trace_callback(count)


def forked(database: Path, url: str, seed: int, *, dies_at: int | None, last: bool = False) -> int:
    """Start `work` in a forked process, which has every import already."""
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            anyio.run(lambda: work(database, url, Random(seed), dies_at=dies_at, last=last))
            os._exit(0)
        os._exit(1)
    return child


def stored(database: Path) -> int:
    """Return how many events are stored."""
    with closing(sqlite3.connect(database)) as connection:
        return int(connection.execute("SELECT count(*) FROM events").fetchone()[0])


def main() -> None:
    """Kill one process after another; exit with the code of the last, which is not killed."""
    database, url = Path(sys.argv[1]), sys.argv[2]
    rounds, seed = map(int, sys.argv[3:5])
    random = Random(seed)
    number = 0
    while number < rounds or stored(database) < TRANSITIONS:
        dies_at = random.randint(1, 400) if number % 2 else None
        child = forked(database, url, random.getrandbits(32), dies_at=dies_at)
        if dies_at is None:
            time.sleep(0.05 + random.random() * 0.35)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), f"round {number} ended without a kill: {status}"
        number += 1
    _, status = os.waitpid(forked(database, url, seed, dies_at=None, last=True), 0)
    sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
