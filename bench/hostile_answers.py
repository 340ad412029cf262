"""What a peer that means harm costs: every one of `tests.support.hostile_answers`, as receiver and
as upstream, one at a time beside a healthy receiver. `hostile_daemon` measures them together.

    scripts/bench hostile_answers [NAME …]

The senders and pollers run in one process with the loop of the daemon; the peers in another, on the
other core. Each channel has its eight senders, each source eight requests for a task and one for a
page. Reported are the peak of resident memory, the longest turn of the loop (its processor time,
and with what else the machine did), and how long the healthy receiver's deliveries take. The limits
of the last line are promises.
"""

import multiprocessing
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import anyio
import httpx

from bench.processes import (
    OURS,
    SECRET,
    peak_mebibytes,
    percentile,
    pin,
    resident_mebibytes,
    server,
)
from tests.support.hostile_answers import NAMES
from watcher.channels import webhook
from watcher.core.clock import wall_clock
from watcher.core.deliveries import Message
from watcher.core.errors import DeliveryError
from watcher.delivery.notes import InMemoryNotes
from watcher.net.exchange import ExchangeError, exchange
from watcher.net.tls import tls_context
from watcher.net.transport import channel_transport, create_transport
from watcher.sources._calls import REPLY_LIMIT
from watcher.sources.mixpeek.pagination import PAGE_BYTES

SECONDS = 2.0
_APART = 0.1  # seconds between the first requests of two senders
_AFTER_SUCCESS, _AFTER_FAILURE = 0.4, 2.0
_POLLERS = 8  # the concurrency with which a source begins


class Measured:
    """The longest turn of the loop in ms, the peak of memory in MiB, and the healthy latencies."""

    def __init__(self) -> None:
        self.longest_turn = 0.0
        self.longest_work = 0.0
        self.peak = 0.0
        self.latencies: list[float] = []

    async def watch_loop(self) -> None:
        while True:
            began, used = time.perf_counter(), time.thread_time()
            await anyio.sleep(0.001)
            self.longest_turn = max(self.longest_turn, (time.perf_counter() - began) * 1000 - 1)
            self.longest_work = max(self.longest_work, (time.thread_time() - used) * 1000)

    def __str__(self) -> str:
        p99 = percentile(self.latencies, 0.99) * 1000 if self.latencies else 0.0
        return (
            f"peak {self.peak:5.1f} MiB, turn {self.longest_work:5.1f} ms "
            f"({self.longest_turn:5.1f} ms), healthy p99 {p99:5.1f} ms of {len(self.latencies)}"
        )


async def deliver(url: str, latencies: list[float] | None = None) -> None:
    """Deliver to `url`, as often as a channel does that has something to send."""
    after_success = _AFTER_SUCCESS if latencies is None else 0.05
    settings = webhook.Settings.model_validate(
        {"name": "backend", "type": "webhook", "url": url, "secrets": [SECRET]}
    )
    async with channel_transport(settings) as transport:
        channel = webhook.create(
            settings, transport=transport, notes=InMemoryNotes(), wall=wall_clock
        )

        async def send(number: int) -> None:
            await anyio.sleep(number * _APART)
            while True:
                began = time.perf_counter()
                try:
                    await channel.send(Message(event_id="msg_1", type="task.failed", body=b"{}"))
                    if latencies is not None:
                        latencies.append(time.perf_counter() - began)
                    await anyio.sleep(after_success)
                except DeliveryError:
                    await anyio.sleep(_AFTER_FAILURE)

        async with anyio.create_task_group() as tasks:
            for number in range(settings.concurrency):
                tasks.start_soon(send, number)


async def poll(url: str) -> None:
    """Poll `url` as a source does: eight requests for a task, and one for a page, at a time."""
    async with create_transport() as transport:

        async def request(number: int, limit: int) -> None:
            await anyio.sleep(number * _APART)
            while True:
                sent = httpx.Request("GET", url)
                try:
                    await exchange(transport, sent, deadline=10.0, body_limit=limit)
                    await anyio.sleep(_AFTER_SUCCESS)
                except ExchangeError:
                    await anyio.sleep(_AFTER_FAILURE)

        async with anyio.create_task_group() as tasks:
            for number, limit in enumerate((*[REPLY_LIMIT] * _POLLERS, PAGE_BYTES)):
                tasks.start_soon(request, number, limit)


async def attack(url: str, name: str | None) -> Measured:
    """Let the peer called `name` receive and be polled, beside a healthy receiver."""
    measured = Measured()
    with anyio.move_on_after(SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(measured.watch_loop)
            tasks.start_soon(deliver, f"{url}/healthy", measured.latencies)
            if name is not None:
                path = name.replace(" ", "_")
                tasks.start_soon(deliver, f"{url}/{path}")
                tasks.start_soon(poll, f"{url}/{path}")
    return measured


def measure(url: str, name: str | None) -> None:
    """Measure in this process, which is a new one, and print a line."""
    pin(OURS)
    tls_context(None)  # some 30 ms, at start
    before = resident_mebibytes()
    measured = anyio.run(attack, url, name, backend_options={"use_uvloop": True})
    measured.peak = peak_mebibytes()
    print(f"{name or 'none':36} {measured} (began with {before:.0f} MiB)", flush=True)


def main(names: Sequence[str]) -> None:
    """Measure without a peer, then the named ones, or all of them."""
    processes = multiprocessing.get_context("fork")  # each begins with the memory of this one
    with (
        tempfile.TemporaryDirectory() as folder,
        server("bench.hostile_peers", Path(folder)) as (_, url),
    ):
        for name in (None, *(names or NAMES)):
            process = processes.Process(target=measure, args=(url, name))
            process.start()
            process.join()
    print("limits: peak 128 MiB, turn 200 ms, healthy p99 100 ms")


if __name__ == "__main__":
    main(sys.argv[1:])
