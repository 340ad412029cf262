"""A page with 100 changes at once, to one webhook whose receiver answers at once: how soon each
arrives after it was observed.
"""

import tempfile
import time
from pathlib import Path

import anyio

from bench.deliveries import change, delivering, watched
from bench.processes import OURS, percentile, pin, server
from watcher.core.clock import wall_clock
from watcher.core.wakeup import Wakeup
from watcher.stores.sqlite import store as sqlite

CHANGES = 100
PAGES = 40
EVERY = 0.5
"""Seconds between two pages: 200 changes a second."""


async def paged(folder: Path, url: str) -> dict[str, float]:
    """Store the changes of each page in one transaction; return when each was observed."""
    observed: dict[str, float] = {}
    outbox = Wakeup()
    async with sqlite.create(f"sqlite:///{folder}/pages_{time.time_ns()}.db") as store:
        watches = await watched(store, CHANGES * PAGES)
        async with delivering(store, outbox, url) as start:
            start()
            began = anyio.current_time()
            for number in range(PAGES):
                await anyio.sleep_until(began + number * EVERY)
                page = watches[number * CHANGES : (number + 1) * CHANGES]
                at = wall_clock()
                changes = [change(watch, at) for watch in page]
                await store.record(changes)
                outbox.set()
                events = (one.event for one in changes)
                observed |= {event.event_id: at for event in events if event is not None}
            await anyio.sleep(1)
    return observed


def main() -> None:
    """Measure, and print a line."""
    pin(OURS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with server("bench.receiver", folder, str(folder / "times")) as (_, url):
            observed = anyio.run(paged, folder, url, backend_options={"use_uvloop": True})
        arrived = dict(line.split()[:2] for line in (folder / "times").read_text().splitlines())
    delays = [(float(arrived[event_id]) - at) * 1000 for event_id, at in observed.items()]
    print(
        f"observed -> received        p50 {percentile(delays, 0.5):.1f} ms, p99 "
        f"{percentile(delays, 0.99):.1f} ms, {PAGES} pages with {CHANGES} changes each"
    )


if __name__ == "__main__":
    main()
