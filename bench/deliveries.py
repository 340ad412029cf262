"""Deliveries: how many a second with everything stored, against the same client's bare POST loop; and how soon.

The receiver runs on the other core. The bare loop sends the same bytes over the same transport with as many senders,
and does nothing else: no store, no signature.
"""

import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from random import Random

import anyio
import httpx
import msgspec
from prometheus_client import CollectorRegistry

from bench.processes import OURS, SECRET, percentile, pin, server
from watcher.channels import webhook
from watcher.clock import wall_clock
from watcher.dispatcher import Dispatcher
from watcher.exchange import exchange
from watcher.metrics import Metrics
from watcher.mixpeek.decoding import observation
from watcher.model import Change, Event, Observation, TaskKey, Watch, WatchRequest
from watcher.payload import new_event_id, task_event
from watcher.protocols import Store
from watcher.stores import sqlite
from watcher.transport import create_transport
from watcher.wakeup import Wakeup

SENDERS = 16
EVENTS = 20_000
RATE = 200
SECONDS = 20
_RAW = b'{"task_id":"x","status":"IN_PROGRESS","inputs":["%s"],"outputs":null,"additional_data":null}' % (b"x" * 700)
_READ = observation(msgspec.Raw(_RAW))
assert isinstance(_READ, Observation)
_SEEN = _READ


def no_notice(kind: str, *, at: float, data: Mapping[str, object], subject: str) -> Event:
    """Nothing fails here, so nothing is told of it."""
    raise AssertionError(f"unexpected {kind}: {data}")


async def fill(store: Store, count: int) -> None:
    """Store `count` events, each of a task of its own."""
    for start in range(0, count, 1000):
        requests = [WatchRequest(key=TaskKey("mixpeek", f"task_{start + n}")) for n in range(1000)]
        added = await store.add(requests, wall_clock())
        await store.record([change(watch, wall_clock()) for watch in added.watches])


def change(watch: Watch, at: float) -> Change:
    """Return the first transition of `watch`, with a body of about 1 KB."""
    told = task_event(watch, _SEEN, namespace=None, sequence=1, at=at, event_id=new_event_id(), channels=("backend",))
    return Change(watch=replace(watch, status="IN_PROGRESS", sequence=1), expected_sequence=0, event=told)


def dispatcher(store: Store, url: str, transport: httpx.AsyncBaseTransport, outbox: Wakeup) -> Dispatcher:
    """Return the real dispatcher with the real webhook channel."""
    settings = webhook.Settings.model_validate(
        {"name": "backend", "url": url, "secrets": [SECRET], "concurrency": SENDERS}
    )
    return Dispatcher(
        settings=settings,
        channel=webhook.create(settings, transport=transport, wall=wall_clock),
        store=store,
        notice=no_notice,
        metrics=Metrics(CollectorRegistry(), "bench").channel("backend"),
        outbox=outbox,
        wall=wall_clock,
        random=Random(1),
    )


async def stored_rate(folder: Path, url: str) -> float:
    """Return deliveries a second, attempts stored."""
    async with (
        sqlite.create(f"sqlite:///{folder}/rate.db") as store,
        create_transport(connections=SENDERS) as transport,
    ):
        await fill(store, EVENTS)
        async with anyio.create_task_group() as tasks:
            began = time.perf_counter()
            tasks.start_soon(dispatcher(store, url, transport, Wakeup()).run)
            while any(depth.pending for depth in await store.outbox()):
                await anyio.sleep(0.1)
            seconds = time.perf_counter() - began
            tasks.cancel_scope.cancel()
    return EVENTS / seconds


async def bare_rate(url: str) -> float:
    """Return POSTs a second of the same client and as many senders, doing nothing else."""
    watch = Watch(key=TaskKey("mixpeek", "task_1"), added_at=0.0)
    event = change(watch, 0.0).event
    assert event is not None
    headers = {"content-type": "application/json", "webhook-id": event.event_id, "webhook-timestamp": "1614265330"}
    remaining = EVENTS

    async with create_transport(connections=SENDERS) as transport:

        async def send() -> None:
            nonlocal remaining
            while remaining > 0:
                remaining -= 1
                request = httpx.Request("POST", url, headers=headers, content=event.body)
                await exchange(transport, request, deadline=15, body_limit=8192)

        began = time.perf_counter()
        async with anyio.create_task_group() as tasks:
            for _ in range(SENDERS):
                tasks.start_soon(send)
        return EVENTS / (time.perf_counter() - began)


async def paced(folder: Path, url: str) -> dict[str, float]:
    """Store events at a steady rate while they are delivered; return when each was stored."""
    stored: dict[str, float] = {}
    outbox = Wakeup()
    async with (
        sqlite.create(f"sqlite:///{folder}/paced.db") as store,
        create_transport(connections=SENDERS) as transport,
    ):
        requests = [WatchRequest(key=TaskKey("mixpeek", f"task_{number}")) for number in range(RATE * SECONDS)]
        watches = [
            watch
            for n in range(0, len(requests), 1000)
            for watch in (await store.add(requests[n : n + 1000], 0.0)).watches
        ]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(dispatcher(store, url, transport, outbox).run)
            began = anyio.current_time()
            for number, watch in enumerate(watches):
                await anyio.sleep_until(began + number / RATE)
                one = change(watch, wall_clock())
                await store.record([one])
                assert one.event is not None
                stored[one.event.event_id] = wall_clock()
                outbox.set()
            await anyio.sleep(1)
            tasks.cancel_scope.cancel()
    return stored


def main() -> None:
    """Measure, and print a line for each figure."""
    pin(OURS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with server("bench.receiver", folder, str(folder / "times")) as (_, url):
            options = {"use_uvloop": True}
            bare = [anyio.run(bare_rate, url, backend_options=options)]
            durable = anyio.run(stored_rate, folder, url, backend_options=options)
            bare.append(anyio.run(bare_rate, url, backend_options=options))
            stored = anyio.run(paced, folder, url, backend_options=options)
        arrived = dict(line.split()[:2] for line in (folder / "times").read_text().splitlines())
    delays = [(float(arrived[event_id]) - at) * 1000 for event_id, at in stored.items()]
    share = durable / (sum(bare) / len(bare))
    print(f"durable signed deliveries   {durable:7.0f} a second, {share:.0%} of the bare loop's {sum(bare) / 2:.0f}")
    print(
        f"stored -> at the receiver   p50 {percentile(delays, 0.5):.1f} ms, p99 {percentile(delays, 0.99):.1f} ms"
        f" at {RATE} events a second ({len(delays)} events)"
    )


if __name__ == "__main__":
    main()
