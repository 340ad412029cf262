"""How soon changes are recorded among more tasks than a page holds, in virtual time: the real
poller, source and store over the fake API. It says nothing about what that costs.

    python -m bench.virtual_changes [NAME…]

NAME is a size or a fault, as in the first column; without one, all of them run, in some half an
hour. In parts of a few minutes each: `30k 30k-10 3k`, `300k`, `ignored rejected cut`,
`413 400 422`, `reset slow timeout`. A fault begins once requests for changes cover all tasks, and
lasts for ten minutes. Beside each figure stands the same with pages of all tasks, as upstream
rejects conditions on the status.

What fails at once delays no change longer than pages do: 11.1 s at most, with either. One request
more it is (12 s) for answers that are slow or time out, as pages wait for them for two seconds.
"""

import asyncio
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import anyio
import msgspec

from bench.polling import prefill
from bench.processes import percentile
from tests.sources.harness import Harness, task_ids
from tests.support.stores import opened
from tests.support.virtual_time import WALL_EPOCH, VirtualLoop, wall
from watcher.testing.mixpeek_id_lists import IdLists

SETTLED = 60.0
PATIENCE = 120.0
PAGES: Mapping[str, Any] = {"status": "rejected"}


@dataclass(frozen=True, kw_only=True)
class Case:
    """`quiet` are the seconds until requests for changes cover all tasks."""

    name: str
    tasks: int = 10_000
    limit: int = 60
    quiet: float = 60.0
    measured_for: float = 600.0
    changes_a_second: float = 2.0
    fault: Mapping[str, Any] = field(default_factory=dict)


CASES = (
    Case(name="30k", tasks=30_000, changes_a_second=8, measured_for=300),
    Case(name="30k-10", tasks=30_000, limit=10, quiet=220, changes_a_second=8, measured_for=300),
    Case(name="3k", tasks=3000, measured_for=300),
    Case(name="300k", tasks=300_000, quiet=150, changes_a_second=8, measured_for=300),
    Case(name="ignored", fault={"status": "ignored"}),
    Case(name="rejected", fault={"status": "rejected"}),
    Case(name="cut", fault={"read": 1000}),
    Case(name="413", fault={"accepted": 1000, "rejection": 413}),
    Case(name="400", fault={"accepted": 1000, "rejection": 400}),
    Case(name="422", fault={"accepted": 1000, "rejection": 422}),
    Case(name="reset", fault={"accepted": 1000, "rejection": "reset"}),
    Case(name="slow", fault={"fast": 1000, "slow": 6.0}),
    Case(name="timeout", fault={"fast": 1000, "slow": 60.0}),
)


class World:
    """One source with tasks that change."""

    def __init__(self, harness: Harness, case: Case) -> None:
        self._harness = harness
        self._case = case
        self._random = Random(7)
        self._changed: dict[str, float] = {}

    async def begin(self) -> None:
        """Watch what is stored."""
        self._harness.set_status(task_ids(self._case.tasks), "IN_PROGRESS")
        self._harness.upstream.set("ended_1", "COMPLETED")
        async for watches in self._harness.store.active_watches({"mixpeek": None}):
            self._harness.poller.restore(watches)

    async def change(self, seconds: float) -> None:
        """Let one task after the other end, each in a moment by chance."""
        ends = anyio.current_time() + seconds
        names = task_ids(self._case.tasks)
        self._random.shuffle(names)
        while names and anyio.current_time() < ends:
            await anyio.sleep(self._random.expovariate(self._case.changes_a_second))
            self._changed[names[-1]] = wall()
            self._harness.set_status([names.pop()], "COMPLETED")

    async def delays(self) -> list[float]:
        """Return after how many seconds changes were recorded, in order; infinity for never."""
        recorded: dict[str, float] = {}
        for event in await self._harness.store.events_after(0, 1_000_000):
            if event.status == "COMPLETED":
                recorded[msgspec.json.decode(event.body)["data"]["task_id"]] = event.at
        return sorted(
            recorded.get(name, float("inf")) - changed for name, changed in self._changed.items()
        )

    async def back_after(self) -> float:
        """Return after how many seconds requests for changes are used again."""
        began = anyio.current_time()
        while not self._harness.source.changes.capacity and anyio.current_time() < began + 1200:
            await anyio.sleep(1)
        return anyio.current_time() - began


async def measure(case: Case, folder: Path, *, pages: bool) -> str:
    """Live through a case; return what has come of it."""
    async with opened(folder) as store:
        harness = Harness(store, limit=case.limit)
        world = World(harness, case)
        lists = harness.upstream.api.id_lists = IdLists(**(PAGES if pages else {}))
        await world.begin()
        async with harness.running():
            await anyio.sleep(case.quiet + SETTLED)
            harness.upstream.api.id_lists = lists if pages else IdLists(**case.fault)
            await world.change(case.measured_for)
            await anyio.sleep(0 if case.fault else PATIENCE)
            harness.upstream.api.id_lists = lists if pages else IdLists()
            back = await world.back_after() if case.fault and not pages else 0.0
            await anyio.sleep(PATIENCE * 3 if pages else PATIENCE)
            found = await world.delays()
        rejected = harness.upstream.responses[429]
    at_half, at_most = (percentile(found, share) for share in (0.5, 0.99))
    text = f"p50 {at_half:5.1f} s  p99 {at_most:5.1f} s  longest {found[-1]:5.1f} s"
    return f"{text}  of {len(found)} changes  {rejected} × 429" + (
        f"  back after {back:.0f} s" if back else ""
    )


def main(arguments: Sequence[str]) -> None:
    """Measure the cases that are named."""
    for case in CASES:
        if arguments and case.name not in arguments:
            continue
        for pages in (False, True):
            with tempfile.TemporaryDirectory() as name:
                prefill(Path(name), case.tasks, WALL_EPOCH)
                with asyncio.Runner(loop_factory=VirtualLoop) as runner:
                    text = runner.run(measure(case, Path(name), pages=pages))
            print(f"{case.name:<8} {'pages' if pages else 'changes':<8} {text}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
