"""Deliveries: how many a second with everything stored, to one receiver and to twenty, against the
same client's bare POST loop; how soon; and what one receiver that hangs does to the nineteen
others.

The receivers run on the other core. The bare loop sends the same bytes over the same transport with
as many senders, and does nothing else: no store, no signature.
"""

import socket
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, Literal

import anyio
import httpx
import msgspec
from prometheus_client import CollectorRegistry

from bench.processes import OURS, SECRET, percentile, pin, server
from watcher.channels import webhook
from watcher.channels.slack import channel as slack
from watcher.core.clock import wall_clock
from watcher.core.event_bodies import SystemData
from watcher.core.events import Change, Event, SystemEventFactory, new_event_id, task_event
from watcher.core.interfaces.store import Store
from watcher.core.statuses import StatusTable
from watcher.core.tasks import Observation, TaskKey, Watch, WatchRequest
from watcher.core.wakeup import Wakeup
from watcher.delivery.body_memory import BodyMemory
from watcher.delivery.context import DeliveryContext
from watcher.delivery.dispatcher import Dispatcher
from watcher.delivery.notes import InMemoryNotes
from watcher.net.exchange import exchange
from watcher.net.transport import channel_transport, create_transport
from watcher.sources.mixpeek.task_decoding import TaskDecoder
from watcher.stores.sqlite import store as sqlite
from watcher.telemetry.metrics import Metrics
from watcher.telemetry.unexpected import UnexpectedErrors

SENDERS = 8  # what a channel has by default
MANY = 20
EVENTS = 20_000
RATE = 200
SECONDS = 20
_RAW = (
    b'{"task_id":"x","status":"IN_PROGRESS","inputs":["%s"],"outputs":null,"additional_data":null}'
    % (b"x" * 700)
)
_READ = TaskDecoder(StatusTable()).task(msgspec.Raw(_RAW))
assert isinstance(_READ, Observation)
_SEEN = _READ


def no_notice(kind: str, *, at: float, data: SystemData, subject: str) -> Event:
    """Nothing fails here, so there are no system events."""
    raise AssertionError(f"unexpected {kind}: {data}")


async def watched(store: Store, count: int) -> list[Watch]:
    """Return `count` new watches."""
    found: list[Watch] = []
    for start in range(0, count, 1000):
        requests = [WatchRequest(key=TaskKey("mixpeek", f"task_{start + n}")) for n in range(1000)]
        found += (await store.add(requests, wall_clock())).watches
    return found


def change(watch: Watch, at: float, *channels: str) -> Change:
    """Return the next transition of `watch`, with a body of about 1 KB."""
    sequence = watch.sequence + 1
    event = task_event(
        watch,
        _SEEN,
        namespace=None,
        sequence=sequence,
        at=at,
        event_id=new_event_id(),
        channels=channels or ("channel_0",),
    )
    return Change(
        watch=replace(watch, status="IN_PROGRESS", sequence=sequence),
        expected_sequence=watch.sequence,
        event=event,
    )


@asynccontextmanager
async def delivering(
    store: Store,
    outbox: Wakeup,
    *urls: str,
    kind: Literal["webhook", "slack"] = "webhook",
    notices: SystemEventFactory = no_notice,
) -> AsyncIterator[Callable[[], None]]:
    """Run the real dispatcher with the real channel for each of `urls`, once what is yielded is
    called.
    """
    module = webhook if kind == "webhook" else slack
    given = {"secrets": [SECRET], "concurrency": SENDERS} if kind == "webhook" else {}
    metrics = Metrics(CollectorRegistry(), "bench")
    async with AsyncExitStack() as resources, anyio.create_task_group() as tasks:
        dispatchers = []
        for number, url in enumerate(urls):
            settings: Any = module.Settings.model_validate(
                {"name": f"channel_{number}", "url": url, **given}
            )
            transport = await resources.enter_async_context(channel_transport(settings))
            dispatchers.append(
                Dispatcher(
                    module.create(
                        settings, transport=transport, notes=InMemoryNotes(), wall=wall_clock
                    ),
                    DeliveryContext(
                        settings=settings,
                        store=store,
                        system_event=notices,
                        metrics=metrics.channel(settings.name),
                        unexpected=UnexpectedErrors(metrics),
                        bodies=BodyMemory(),
                        outbox=outbox,
                        wall=wall_clock,
                        random=Random(1),
                    ),
                )
            )

        def start() -> None:
            for dispatcher in dispatchers:
                tasks.start_soon(dispatcher.run)

        yield start
        tasks.cancel_scope.cancel()


async def stored_rate(folder: Path, url: str, receivers: int) -> float:
    """Return deliveries a second over all receivers, attempts stored."""
    async with (
        sqlite.create(f"sqlite:///{folder}/rate_{receivers}.db") as store,
        delivering(store, Wakeup(), *[url] * receivers) as start,
    ):
        watches = await watched(store, EVENTS)
        for first in range(0, EVENTS, 1000):
            numbered = [(watch, first + n) for n, watch in enumerate(watches[first : first + 1000])]
            await store.record(
                [change(watch, wall_clock(), f"channel_{n % receivers}") for watch, n in numbered]
            )
        began = time.perf_counter()
        start()
        while any(depth.pending for depth in await store.outbox()):
            await anyio.sleep(0.1)
        return EVENTS / (time.perf_counter() - began)


async def bare_rate(url: str) -> float:
    """Return POSTs a second of the same client and as many senders, doing nothing else."""
    watch = Watch(key=TaskKey("mixpeek", "task_1"), added_at=0.0)
    event = change(watch, 0.0).event
    assert event is not None
    headers = {
        "content-type": "application/json",
        "webhook-id": event.event_id,
        "webhook-timestamp": "1614265330",
    }
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


async def paced(folder: Path, urls: Sequence[str], left_out: str = "") -> dict[str, float]:
    """Do what `paced_in` does, in a store in a file."""
    opened = sqlite.create(f"sqlite:///{folder}/paced_{time.time_ns()}.db")
    return await paced_in(opened, urls, left_out)


async def paced_in(
    opened: AbstractAsyncContextManager[Store], urls: Sequence[str], left_out: str = ""
) -> dict[str, float]:
    """Store events at a steady rate while they are delivered; return when each was stored.

    Those to the channel `left_out` are not among them.
    """
    outbox = Wakeup()
    async with opened as store, delivering(store, outbox, *urls) as start:
        start()
        stored = await recorded_in_turn(store, outbox, len(urls))
    of_others = {event for event, (channel, _) in stored.items() if channel != left_out}
    return {event: stored[event][1] for event in of_others}


async def recorded_in_turn(
    store: Store, outbox: Wakeup, channels: int
) -> dict[str, tuple[str, float]]:
    """Store events at a steady rate, one after the other for each channel; return the channel of
    each, and when it was stored.
    """
    stored: dict[str, tuple[str, float]] = {}
    watches = await watched(store, RATE * SECONDS)
    began = anyio.current_time()
    for number, watch in enumerate(watches):
        await anyio.sleep_until(began + number / RATE)
        channel = f"channel_{number % channels}"
        one = change(watch, wall_clock(), channel)
        await store.record([one])
        assert one.event is not None
        stored[one.event.event_id] = channel, wall_clock()
        outbox.set()
    await anyio.sleep(1)
    return stored


def main() -> None:
    """Measure, and print a line for each figure."""
    pin(OURS)
    options = {"use_uvloop": True}
    with tempfile.TemporaryDirectory() as name, socket.create_server(("127.0.0.1", 0)) as silent:
        folder = Path(name)
        hangs = (
            # the kernel accepts, and nothing answers
            f"http://127.0.0.1:{silent.getsockname()[1]}/"
        )
        with server("bench.receiver", folder, str(folder / "times")) as (_, url):
            bare = [anyio.run(bare_rate, url, backend_options=options)]
            durable = [
                anyio.run(stored_rate, folder, url, count, backend_options=options)
                for count in (1, MANY)
            ]
            bare.append(anyio.run(bare_rate, url, backend_options=options))
            one = anyio.run(paced, folder, [url], backend_options=options)
            healthy: dict[str, float] = {}
            hanging: dict[str, float] = {}
            for _ in range(2):
                healthy |= anyio.run(
                    paced, folder, [url] * MANY, "channel_0", backend_options=options
                )
                hanging |= anyio.run(
                    paced,
                    folder,
                    [hangs, *[url] * (MANY - 1)],
                    "channel_0",
                    backend_options=options,
                )
        arrived = dict(line.split()[:2] for line in (folder / "times").read_text().splitlines())
    loop = sum(bare) / len(bare)
    for count, rate in zip((1, MANY), durable, strict=True):
        share = f"{rate / loop:.0%} of the bare loop's {loop:.0f}"
        print(f"durable signed deliveries   {rate:7.0f} a second to {count}, {share}")
    for text, stored in (
        ("to one", one),
        (f"to {MANY}", healthy),
        (f"to {MANY}, one of which hangs", hanging),
    ):
        delays = [(float(arrived[event_id]) - at) * 1000 for event_id, at in stored.items()]
        print(
            f"stored -> at the receiver   p50 {percentile(delays, 0.5):.1f} ms, p99 "
            f"{percentile(delays, 0.99):.1f} ms"
            f" at {RATE} events a second {text} ({len(delays)} events)"
        )


if __name__ == "__main__":
    main()
