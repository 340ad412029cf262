"""What a claim costs with a million deliveries pending: to one channel, of as many tasks, over the store as it is."""

import statistics
import tempfile
import time
from pathlib import Path

import anyio

from watcher.clock import wall_clock
from watcher.model import Change, Event, TaskKey, Watch, WatchRequest
from watcher.payload import new_event_id, task_order_key
from watcher.stores import sqlite

PENDING = 1_000_000
CLAIMED = 100
BATCH = 10_000


def change(watch: Watch, at: float) -> Change:
    """Return a transition of `watch` that one channel hears of."""
    event = Event(
        event_id=new_event_id(),
        type="task.failed",
        at=at,
        body=b'{"type": "task.failed"}',
        order_key=task_order_key(watch.key),
        channels=("backend",),
        key=watch.key,
        sequence=1,
        status="FAILED",
    )
    return Change(watch=watch, expected_sequence=0, event=event)


async def fill(store: sqlite.SqliteStore) -> None:
    """Store as many events as are to be pending."""
    for start in range(0, PENDING, BATCH):
        now = wall_clock()
        requests = [WatchRequest(key=TaskKey("mixpeek", f"task_{start + number}")) for number in range(BATCH)]
        added = await store.add(requests, now)
        await store.record([change(watch, now) for watch in added.watches])


async def claims() -> list[float]:
    """Return the seconds of twenty claims, the first of them over a store that was just opened."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'watcher.db'}"
        async with sqlite.create(url) as store:
            await fill(store)
        taken = []
        async with sqlite.create(url) as store:
            for _ in range(20):
                began = time.perf_counter()
                due = await store.due("backend", wall_clock(), CLAIMED)
                taken.append(time.perf_counter() - began)
                if len(due) != CLAIMED:
                    raise AssertionError(f"{len(due)} were due")
        return taken


if __name__ == "__main__":
    taken = anyio.run(claims)
    print(
        f"claim of {CLAIMED} with {PENDING} pending: median {statistics.median(taken) * 1000:.1f} ms, "
        f"slowest {max(taken) * 1000:.1f} ms, the first {taken[0] * 1000:.1f} ms"
    )
