"""The cost of a million pending deliveries of as many tasks to one channel, over the real store."""

import gc
import statistics
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path

import anyio

from bench.processes import resident_mebibytes
from watcher.core.clock import wall_clock
from watcher.core.deliveries import AttemptResult, DeliveryState
from watcher.core.events import Change, Event, new_event_id, task_order_key
from watcher.core.tasks import TaskKey, Watch, WatchRequest
from watcher.stores.sqlite import store as sqlite

PENDING = 1_000_000
CLAIMED = 100
BATCH = 10_000


def change(watch: Watch, at: float) -> Change:
    """Return a transition of `watch` whose event goes to one channel."""
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
    for start in range(0, PENDING, BATCH):
        now = wall_clock()
        requests = [
            WatchRequest(key=TaskKey("mixpeek", f"task_{start + number}"))
            for number in range(BATCH)
        ]
        added = await store.add(requests, now)
        await store.record([change(watch, now) for watch in added.watches])


async def measured() -> None:
    """Measure, and print the results."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'watcher.db'}"
        async with sqlite.create(url) as store:
            await fill(store)
        gc.collect()
        before = resident_mebibytes()
        began = time.perf_counter()
        async with sqlite.create(url) as store:
            opened_in = time.perf_counter() - began
            claims = [await timed(store.due("backend", wall_clock(), CLAIMED)) for _ in range(20)]
            settles = []
            for _ in range(20):
                due = await store.due("backend", wall_clock(), CLAIMED)
                settles.append(
                    await timed(store.settle([delivered(delivery.id) for delivery in due]))
                )
            counted_in = await timed(store.outbox())
            grown = resident_mebibytes() - before
    print(
        f"claim of {CLAIMED} with {PENDING} pending:"
        f" median {statistics.median(claims) * 1000:.1f} ms, slowest {max(claims) * 1000:.1f} ms,"
        f" first {claims[0] * 1000:.1f} ms\n"
        f"settling {CLAIMED} of them: median {statistics.median(settles) * 1000:.1f} ms\n"
        f"opening the store: {opened_in * 1000:.0f} ms;"
        f" counting the pending: {counted_in * 1000:.0f} ms;"
        f" memory grows by {grown:.1f} MiB"
    )


async def timed(call: Awaitable[object]) -> float:
    """Return how long `call` takes, in seconds."""
    began = time.perf_counter()
    await call
    return time.perf_counter() - began


def delivered(delivery_id: int) -> AttemptResult:
    return AttemptResult(
        delivery_id=delivery_id,
        state=DeliveryState.DELIVERED,
        attempted_at=wall_clock(),
        scheduled=1,
        last_status=204,
        duration=0.001,
    )


if __name__ == "__main__":
    anyio.run(measured)
