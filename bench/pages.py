"""The CPU time of a page of 1,000 unchanged tasks, and how long a page of 40 MB blocks the loop."""

import asyncio
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

import anyio
import httpx
import msgspec
from prometheus_client import CollectorRegistry

from bench.deliveries import no_notice
from bench.processes import OURS, pin, server
from watcher.core.clock import wall_clock
from watcher.core.interfaces.source import Source
from watcher.core.routing import Routing
from watcher.core.settings import PollingSettings
from watcher.core.tasks import ActiveWatch
from watcher.core.wakeup import Wakeup
from watcher.net.transport import create_transport
from watcher.polling.context import PollingContext
from watcher.polling.poller import Poller
from watcher.sources.mixpeek import source as mixpeek
from watcher.sources.mixpeek.list_endpoint import ListEndpoint
from watcher.stores.sqlite import store as sqlite
from watcher.telemetry.metrics import Metrics
from watcher.telemetry.unexpected import UnexpectedErrors

TASKS = 50_000
SECONDS = 20.0
LARGE = 40_000_000


def source(url: str, transport: httpx.AsyncBaseTransport) -> mixpeek.MixpeekSource:
    settings = mixpeek.Settings(base_url=url, api_key="sk_bench", requests_per_minute=None)
    metrics = Metrics(CollectorRegistry(), "bench").source("mixpeek")
    return mixpeek.create(settings, transport=transport, metrics=metrics, wall=wall_clock)


def poller(polled_source: Source, store: Any) -> Poller:
    """Return the real poller; it polls as fast as the answers arrive."""
    metrics = Metrics(CollectorRegistry(), "bench")
    return Poller(
        polled_source,
        PollingContext(
            source_name="mixpeek",
            store=store,
            routing=Routing([], []),
            system_event=no_notice,
            polling=PollingSettings(min_interval=1.0, max_interval=1.0),
            unreachable_after=60.0,
            metrics=metrics.source("mixpeek"),
            unexpected=UnexpectedErrors(metrics),
            outbox=Wakeup(),
            wall=wall_clock,
            random=Random(1),
        ),
    )


async def page_cost(folder: Path, url: str) -> float:
    """Return the CPU seconds per page: fetched over HTTP, decoded, compared, rescheduled."""
    async with (
        sqlite.create(f"sqlite:///{folder}/pages.db") as store,
        create_transport() as transport,
    ):
        polled_source = source(url, transport)
        running = poller(polled_source, store)
        running.restore(
            ActiveWatch("mixpeek", f"task_{n}", "IN_PROGRESS", None, None) for n in range(TASKS)
        )
        pages = 0
        fetch = polled_source.shared.fetch

        def counted(task_ids: Any) -> Any:
            nonlocal pages
            pages += 1
            return fetch(task_ids)

        polled_source.shared.fetch = counted  # type: ignore[method-assign]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(running.run)
            await anyio.sleep(3)
            began, before = time.process_time(), pages
            await anyio.sleep(SECONDS)
            cost = (time.process_time() - began) / (pages - before)
            running.close()
    return cost


async def longest_block() -> float:
    """Return the longest time, in seconds, that a page of 40 MB blocked the event loop."""
    ids = [f"task_{number}" for number in range(1000)]
    outputs = [
        {"object_id": f"obj_{n}", "score": 0.12345, "tags": ["a", "b"]}
        for n in range(LARGE // 1000 // 56)
    ]
    tasks = [
        {"task_id": task_id, "status": "IN_PROGRESS", "task_type": "api_x", "outputs": outputs}
        for task_id in ids
    ]
    body = msgspec.json.encode({"results": tasks})
    gaps: list[float] = []

    async def ticking() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    async def chunks() -> Any:
        for start in range(0, len(body), 1 << 18):
            await asyncio.sleep(0)
            yield body[start : start + (1 << 18)]

    async def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=chunks())

    listing: ListEndpoint = source("https://upstream", httpx.MockTransport(answer)).shared
    ticks = asyncio.create_task(ticking())
    await listing.admit()
    answered = 0
    async for answers in listing.fetch(ids):
        answered += len(answers)
    ticks.cancel()
    assert (answered, len(body) >= LARGE) == (1000, True)
    return max(gaps)


def main() -> None:
    """Print one line per figure."""
    pin(OURS)
    blocks = [anyio.run(longest_block) for _ in range(3)]
    with tempfile.TemporaryDirectory() as name, server("bench.upstream", Path(name)) as (_, url):
        cost = anyio.run(page_cost, Path(name), url, backend_options={"use_uvloop": True})
    print(
        f"a page of 1,000 unchanged tasks  {cost * 1000:.2f} ms of CPU:"
        " fetched, decoded, compared, rescheduled"
    )
    print(f"a page of 40 MB                  blocks the event loop for {max(blocks) * 1000:.0f} ms")


if __name__ == "__main__":
    main()
