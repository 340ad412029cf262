"""What a receiver that means harm costs: for how long it holds a sender, and how much memory.

One that trickles a byte a second, one that answers with 10 GB, and one with a gzip bomb each get a
delivery on every sender of a channel with the default settings, one after the other in one process.
"""

import tempfile
import time
from pathlib import Path

import anyio

from bench.processes import OURS, SECRET, pin, resident_mebibytes, server
from watcher.channels import webhook
from watcher.core.clock import wall_clock
from watcher.core.deliveries import Message
from watcher.core.errors import DeliveryError
from watcher.delivery.notes import InMemoryNotes
from watcher.net.transport import channel_transport

ROUNDS = 3


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


async def main_async(url: str) -> None:
    """Warm everything up, measure, and print a line for each."""
    await attack(f"{url}/flood")
    for path in ("flood", "bomb", "trickle"):
        outcome, longest, grown = await attack(f"{url}/{path}")
        print(
            f"{path:8} a sender is free after {longest:5.1f} s at most, memory grows by "
            f"{grown:.1f} MiB ({outcome})"
        )


def main() -> None:
    """Measure."""
    pin(OURS)
    with (
        tempfile.TemporaryDirectory() as name,
        server("bench.hostile_receiver", Path(name)) as (_, url),
    ):
        anyio.run(main_async, url, backend_options={"use_uvloop": True})


if __name__ == "__main__":
    main()
