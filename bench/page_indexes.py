"""What the indexes of the live page cost where transitions are stored.

    scripts/bench page_indexes [--watches N]

Two copies of one store, the second without those indexes, take the same 500 transitions in turn:
half of them begin a task of a batch, half end one, one in ten with a failure. Processor time of the
whole process; the ratio of the least of each is what counts, because nothing disturbs it.
"""

import argparse
import shutil
import sqlite3
import tempfile
import time
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

import anyio

from bench.page_store import fill
from tests.support.records import request, step
from watcher.core.clock import wall_clock
from watcher.core.events import Change, new_event_id
from watcher.core.tasks import Watch
from watcher.stores.sqlite import store as sqlite
from watcher.stores.sqlite.store import SqliteStore

INDEXES = (
    "watches_ended",
    "watches_failed",
    "watches_batch",
    "watches_stalled",
    "deliveries_delivered_to",
)
GOAL = 1.02
_HALF = 250
_ROUNDS = 60
_WARM_UP = 5


@dataclass(slots=True)
class Measured:
    """A store, its tasks that run, and the milliseconds that each round took."""

    store: SqliteStore
    running: list[Watch] = field(default_factory=list)
    durations: list[float] = field(default_factory=list)

    async def store_round(self, number: int) -> None:
        """Store 500 transitions."""
        now, ids = wall_clock(), [f"round_{number}_{place}" for place in range(_HALF)]
        added = (await self.store.add([request(one) for one in ids], now)).watches
        begun = [_begun(watch, now, number) for watch in added]
        ended = [_ended(watch, now, place) for place, watch in enumerate(self.running)]
        self.running = [change.watch for change in begun]
        before = time.process_time()
        await self.store.record([*begun, *ended])
        self.durations.append(1000 * (time.process_time() - before))


def _begun(watch: Watch, now: float, number: int) -> Change:
    change = _stored(step(watch, "IN_PROGRESS", at=now))
    return replace(change, watch=replace(change.watch, batch=f"btch_of_{number}"))


def _ended(watch: Watch, now: float, place: int) -> Change:
    return _stored(step(watch, "FAILED" if place % 10 == 0 else "COMPLETED", at=now))


def _stored(change: Change) -> Change:
    assert change.event is not None
    return replace(change, event=replace(change.event, event_id=new_event_id()))


async def measure(folder: Path, watches: int) -> None:
    """Print what 500 transitions cost with and without the indexes."""
    files = {"with them": folder / "with.db", "without": folder / "without.db"}
    await fill(f"sqlite:///{files['with them']}", watches)
    shutil.copy(files["with them"], files["without"])
    with closing(sqlite3.connect(files["without"])) as connection:
        for index in INDEXES:
            connection.execute(f"DROP INDEX {index}")
    async with AsyncExitStack() as stack:
        stores = {
            name: Measured(await stack.enter_async_context(sqlite.create(f"sqlite:///{file}")))
            for name, file in files.items()
        }
        for number in range(_WARM_UP + _ROUNDS):
            turns = list(stores.values())
            for measured in turns if number % 2 else reversed(turns):
                await measured.store_round(number)
    least = {}
    print(f"{watches:,} watches; CPU of storing 500 transitions, ms, {_ROUNDS} rounds in turn")
    for name, measured in stores.items():
        durations = measured.durations[_WARM_UP:]
        least[name] = min(durations)
        print(f"{name:<12}least {least[name]:6.2f}, median {median(durations):6.2f}")
    print(f"{least['with them'] / least['without']:.3f} × of the least; the goal is {GOAL} ×")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--watches", type=int, default=100_000)
    with tempfile.TemporaryDirectory() as name:
        anyio.run(measure, Path(name), parser.parse_args().watches)


if __name__ == "__main__":
    main()
