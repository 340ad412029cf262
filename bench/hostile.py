"""What receivers that mean harm or are broken cost: for how long they hold a sender, how much
memory they take, and what twenty of them, each in another way, do to a healthy one.

    python -m bench.hostile [SECONDS]

One that trickles a byte a second, one that answers with 10 GB, and one with a gzip bomb each get a
delivery on every sender of a channel with the default settings, one after the other in one process.
Then 100 events a second go to a healthy receiver alone, and to it and twenty others.
"""

import gc
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import anyio

from bench.deliveries import change, delivering
from bench.hostile_receiver import KINDS, path_of
from bench.processes import OURS, SECRET, percentile, pin, resident_mebibytes, server
from watcher.channels import webhook
from watcher.core.clock import wall_clock
from watcher.core.deliveries import Message
from watcher.core.errors import DeliveryError
from watcher.core.events import system_event_factory
from watcher.core.tasks import TaskKey, WatchRequest
from watcher.core.wakeup import Wakeup
from watcher.delivery.notes import InMemoryNotes
from watcher.net.transport import channel_transport
from watcher.stores.sqlite import store as sqlite

ROUNDS = 3
SECONDS = 60.0
RATE = 100
TASKS = 500
PAGE = 10
"""Events that are stored together: ten times a second an answer shows some changes."""
WARM_UP = 0.25
"""Share of the time after which memory may grow no more."""


async def attack(url: str) -> tuple[str, float, float]:
    """Return what became of the last delivery, the longest time that one took, and the MiB by which
    memory grew.
    """
    settings = webhook.Settings.model_validate(
        {"name": "backend", "type": "webhook", "url": url, "secrets": [SECRET]}
    )
    longest, outcome = 0.0, ""
    async with channel_transport(settings) as transport:
        channel = webhook.create(
            settings, transport=transport, notes=InMemoryNotes(), wall=wall_clock
        )

        async def send(number: int) -> None:
            nonlocal longest, outcome
            began = time.perf_counter()
            try:
                receipt = await channel.send(
                    Message(event_id=f"msg_{number}", type="task.failed", body=b"{}")
                )
                outcome = f"HTTP {receipt.status}"
            except DeliveryError as error:
                outcome = str(error)
            longest = max(longest, time.perf_counter() - began)

        most = before = resident_mebibytes()
        for _ in range(ROUNDS):
            async with anyio.create_task_group() as tasks:
                for number in range(settings.concurrency):
                    tasks.start_soon(send, number)
                with anyio.move_on_after(2):
                    while True:
                        most = max(most, resident_mebibytes())
                        await anyio.sleep(0.01)
            most = max(most, resident_mebibytes())
    return outcome, longest, most - before


async def attacks(url: str) -> None:
    """Warm everything up, measure, and print a line for each."""
    await attack(f"{url}/flood")
    for path in ("flood", "bomb", "trickle"):
        outcome, longest, grown = await attack(f"{url}/{path}")
        print(
            f"{path:8} a sender is free after {longest:5.1f} s at most, memory grows by "
            f"{grown:.1f} MiB ({outcome})"
        )


async def paced(folder: Path, urls: Sequence[str], seconds: float) -> tuple[float, float, float]:
    """Store events at a steady rate for all channels while they are delivered; write down when each
    was stored. Return the share of a core that this process took, the MiB of memory after the
    warm-up, and the most after it.
    """
    outbox, channels = Wakeup(), [f"channel_{number}" for number in range(len(urls))]
    notices = system_event_factory(lambda kind, subject: ())
    warm = most = 0.0
    async with sqlite.create(f"sqlite:///{folder}/{len(urls)}.db") as store:
        requests = [WatchRequest(key=TaskKey("mixpeek", f"task_{n}")) for n in range(TASKS)]
        watches = list((await store.add(requests, wall_clock())).watches)
        async with delivering(store, outbox, *urls, notices=notices) as start:
            start()
            gc.collect()
            gc.freeze()  # as the daemon does once it runs
            began, used = anyio.current_time(), time.process_time()
            with (folder / "stored").open("a") as stored:
                # As a poller does: what one answer shows is stored in one piece.
                for first in range(0, int(seconds * RATE), PAGE):
                    await anyio.sleep_until(began + first / RATE)
                    numbers = range(first, first + PAGE)
                    now = wall_clock()
                    steps = [change(watches[n % TASKS], now, *channels) for n in numbers]
                    await store.record(steps)
                    outbox.set()
                    for number, step in zip(numbers, steps, strict=True):
                        assert step.event is not None
                        watches[number % TASKS] = step.watch
                        line = [step.event.event_id, wall_clock(), len(urls)]
                        stored.write(json.dumps(line) + "\n")
                    most = max(most, resident_mebibytes())
                    if first <= seconds * RATE * WARM_UP:
                        warm = most
            used = (time.process_time() - used) / (anyio.current_time() - began)
            await anyio.sleep(1)
    return used, warm, most


def report(folder: Path, channels: int, used: tuple[float, float, float]) -> None:
    """Print how soon the healthy receiver got its events."""
    arrived = dict(line.split()[:2] for line in (folder / "times").read_text().splitlines())
    stored = [json.loads(line) for line in (folder / "stored").read_text().splitlines()]
    delays = [
        (float(arrived[event_id]) - at) * 1000
        for event_id, at, count in stored
        if count == channels and event_id in arrived
    ]
    times = [at for _, at, count in stored if count == channels]
    lost, rate = len(times) - len(delays), len(times) / max(times[-1] - times[0], 1e-9)
    text = "alone" if channels == 1 else f"beside {channels - 1} that misbehave"
    print(
        f"healthy  {text}: stored -> there p50 {percentile(delays, 0.5):.1f} ms, p99"
        f" {percentile(delays, 0.99):.1f} ms at {rate:.0f} of {RATE} events a second"
        f" ({len(delays)} events,"
        f" {lost} missing); {used[0]:.0%} of a core, memory {used[1]:.1f} MiB warm,"
        f" {used[2]:.1f} at most"
    )


def main() -> None:
    """Measure."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    pin(OURS)
    options = {"use_uvloop": True}
    with tempfile.TemporaryDirectory() as name:
        folder, memory = Path(name), {}
        with (
            server("bench.hostile_receiver", folder) as (_, hostile),
            server("bench.receiver", folder, str(folder / "times")) as (_, healthy),
        ):
            anyio.run(attacks, hostile, backend_options=options)
            others = [hostile + path_of(kind) for kind in KINDS]
            for urls in ([healthy], [healthy, *others]):
                memory[len(urls)] = anyio.run(paced, folder, urls, seconds, backend_options=options)
        for channels, used in memory.items():
            report(folder, channels, used)


if __name__ == "__main__":
    main()
