"""A thousand failures in ten seconds, sent to a Slack that accepts one message per second: how many
messages, and how soon.

The made-up Slack answers 429 with `Retry-After` to what comes sooner, and keeps the text of what it
took.
"""

import asyncio
import json
import re
import tempfile
import time
from pathlib import Path

import anyio

from bench.deliveries import change, delivering, watched
from watcher.core.clock import wall_clock
from watcher.core.wakeup import Wakeup
from watcher.stores.sqlite import store as sqlite

EVENTS, SECONDS = 1000, 10
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class Slack:
    """One webhook of it."""

    def __init__(self) -> None:
        self.requests = 0
        self.taken: list[tuple[float, str]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                found = _LENGTH.search(head)
                body = await reader.readexactly(int(found[1]) if found else 0)
                self.requests += 1
                now = time.perf_counter()
                if self.taken and now - self.taken[-1][0] < 1:
                    writer.write(
                        b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: "
                        b"0\r\n\r\n"
                    )
                else:
                    self.taken.append((now, json.dumps(json.loads(body), ensure_ascii=False)))
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        except asyncio.IncompleteReadError:
            writer.close()


async def main_async(folder: Path) -> None:
    """Measure, and print a line."""
    slack = Slack()
    listener = await asyncio.start_server(slack.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/services/T0/B0/x"
    outbox = Wakeup()
    async with (
        sqlite.create(f"sqlite:///{folder}/storm.db") as store,
        delivering(store, outbox, url, kind="slack") as start,
    ):
        watches = await watched(store, EVENTS)
        start()
        began = time.perf_counter()
        for number, watch in enumerate(watches):
            await anyio.sleep(max(began + number * SECONDS / EVENTS - time.perf_counter(), 0))
            await store.record([change(watch, wall_clock())])
            outbox.set()
        while any(depth.pending for depth in await store.outbox()):
            await anyio.sleep(0.05)
    seconds = time.perf_counter() - began
    text = " ".join(content for _, content in slack.taken)
    named = sum(bool(re.search(rf"task_{number}(?!\d)", text)) for number in range(EVENTS))
    counted = sum(int(more) for more in re.findall(r"and (\d+) more", text))
    print(
        f"{EVENTS} failures in {SECONDS} s: {len(slack.taken)} messages taken of {slack.requests} "
        f"sent, all within"
        f" {seconds:.0f} s; {named} tasks by name, {counted} counted"
    )
    listener.close()


def main() -> None:
    """Measure."""
    with tempfile.TemporaryDirectory() as name:
        anyio.run(main_async, Path(name))


if __name__ == "__main__":
    main()
