"""Whatever arrives, changes and breaks, and whenever: no change is noticed later than budget and
size allow, no task starves, nothing is recorded twice, and nothing that was not so.
"""

import math
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import anyio
import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from tests.sources.harness import Harness
from tests.support.records import request
from tests.support.stores import opened
from tests.support.virtual_time import wall
from watcher.core.tasks import TaskKey
from watcher.sources.mixpeek.changes_endpoint import MOST_IDS
from watcher.sources.mixpeek.pagination import LIST_TASKS, PAGE_SIZE
from watcher.testing.mixpeek_id_lists import IdLists

pytestmark = pytest.mark.anyio

STAGES = ("IN_PROGRESS", "PROCESSING", "PENDING", "QUEUED", "COMPLETED")
"""A task changes to the next one, and never back: a status that goes back needs two answers."""
LAST = len(STAGES) - 1
FAULTS: dict[str, dict[str, Any]] = {
    "condition ignored": {"status": "ignored"},
    "condition rejected": {"status": "rejected"},
    "not nested": {"nested": False},
    "cut at 1,000": {"read": 1000},
    "cut at 3,000": {"read": 3000},
    "413": {"accepted": 1000, "rejection": 413},
    "400": {"accepted": 2000, "rejection": 400},
    "422": {"accepted": 1500, "rejection": 422},
    "reset": {"accepted": 1200, "rejection": "reset"},
    "slow": {"fast": 1000, "slow": 6.0},
    "timeout": {"fast": 1000, "slow": 60.0},
}
EXAMPLES = os.environ.get("CHANGES_EXAMPLES")
"""How many plans to make up: 2 that are always the same, unless it is set."""
BUSY = 60.0
SETTLED_AFTER = 60.0
CONFIRMED_WITHIN = 330.0
LATE_AFTER = 3.0
"""Seconds until pages are requested beside a request for changes that takes long."""
LONGEST_INTERVAL = 30.0
LATENCY = 0.5
"""Seconds of the answer, and of what is stored before it."""


class Act(NamedTuple):
    """Wait for `pause` seconds, then do `kind` with about `share` of the tasks."""

    pause: float
    kind: str
    share: float = 0.0


def acts(kinds: Sequence[str]) -> st.SearchStrategy[list[Act]]:
    pauses = st.sampled_from([0.0, 0.4, 3.0, 11.0, 40.0])
    shares = st.sampled_from([0.0, 0.001, 0.02, 0.3])
    return st.lists(st.builds(Act, pauses, st.sampled_from(kinds), shares), min_size=3, max_size=14)


class World:
    """Tasks that change, and when each did. `busy` are how many did, or were added, at once, and
    `running` how many ran then.
    """

    def __init__(self, harness: Harness, count: int, seed: int) -> None:
        self.harness = harness
        self.random = Random(seed)
        self.share_of = count
        self.stages: dict[str, int] = {}
        self.changed: dict[str, list[float]] = {}
        self.busy: list[tuple[float, int]] = []
        self.running: list[tuple[float, int]] = []
        self.faulty_since = math.inf

    @property
    def covered(self) -> bool:
        return self.harness.upstream.largest_body[LIST_TASKS] > self.share_of * len('"task_1",')

    async def add(self, count: int) -> None:
        for start in range(0, count, PAGE_SIZE):
            first, some = len(self.stages), min(PAGE_SIZE, count - start)
            names = [f"task_{first + number}" for number in range(some)]
            for name in names:
                self.stages[name] = -1
                self.changed[name] = []
                self.change(name)
            added = await self.harness.store.add([request(name) for name in names], wall())
            self.harness.poller.track(added.watches)

    def change(self, name: str) -> None:
        self.stages[name] += 1
        self.changed[name].append(wall())
        self.harness.upstream.set(name, STAGES[self.stages[name]])

    def end(self, name: str) -> None:
        skipped = len(STAGES) - 2 - self.stages[name]
        self.stages[name] += skipped
        self.changed[name] += [wall()] * skipped
        self.change(name)

    async def act(self, act: Act) -> None:
        number = 1 + int(act.share * self.share_of)
        running = [name for name, stage in self.stages.items() if stage < LAST]
        if act.kind == "add":
            await self.add(number)
        elif act.kind in ("change", "end"):
            for name in self.random.sample(running, min(number, len(running))):
                (self.end if act.kind == "end" else self.change)(name)
        else:
            number = 0
            self.harness.upstream.api.id_lists = IdLists(**FAULTS.get(act.kind, {}))
            if act.kind != "heal":
                self.faulty_since = min(self.faulty_since, wall())
        self.busy.append((wall(), number))
        self.running.append((wall(), sum(stage < LAST for stage in self.stages.values())))

    def within(self, at: float) -> float:
        """Return the seconds within which a change at `at` is to be noticed: those of the longest
        interval, if one page holds all running tasks.
        """
        busy = sum(number for when, number in self.busy if abs(when - at) < BUSY) / PAGE_SIZE
        pages = math.ceil(len(self.stages) / PAGE_SIZE)
        # Pages of what is new or has just changed have every second request at most.
        covered = 2 * (1 + math.ceil(len(self.stages) / MOST_IDS) + busy)
        # The request that fails, and the one that finds out why after pages of all tasks.
        plain = pages + 3 + 2 * busy
        spacing = self.harness.source.changes.spacing
        if self._fewest(at) <= PAGE_SIZE:
            return LONGEST_INTERVAL + plain * spacing + LATENCY
        if at < self.faulty_since - covered * spacing:
            return covered * spacing + LATENCY
        return max(covered, plain) * spacing + LATENCY + LATE_AFTER

    def _fewest(self, at: float) -> int:
        """Return how many tasks were running at least when a change was to be noticed."""
        before = [count for when, count in self.running if when <= at][-1:]
        near = [count for when, count in self.running if abs(when - at) < BUSY]
        return min(before + near)

    async def assert_noticed(self, since: float) -> None:
        """Assert that what has changed since was noticed in time, and that nothing else was."""
        recorded = await self.recorded()
        late = {}
        for name, changed in self.changed.items():
            stages = [stage for stage, _ in recorded[name]]
            assert stages == sorted(set(stages)), f"{name} was recorded as {recorded[name]}"
            assert all(at >= changed[stage] for stage, at in recorded[name]), f"{name} is false"
            for stage, at in enumerate(changed):
                noticed = min((when for one, when in recorded[name] if one >= stage), default=1e12)
                if at >= since and noticed > at + self.within(at):
                    late[name, stage] = (at - since, noticed - at, self.within(at))
        assert not late, f"{len(late)} are late: {sorted(late.values())[:5]}"

    async def recorded(self) -> Mapping[str, list[tuple[int, float]]]:
        """Return the transitions of each task: its stage, and when it was noticed."""
        found: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for event in await self.harness.store.events_after(0, 1_000_000):
            if event.status is not None:
                name = msgspec.json.decode(event.body)["data"]["task_id"]
                found[name].append((STAGES.index(event.status), event.at))
        return found

    def assert_confirmed(self) -> None:
        """Assert that a page has shown every running task lately."""
        for name, stage in self.stages.items():
            if stage < LAST:
                answered_at, _ = self.harness.poller.times(TaskKey("mixpeek", name))
                assert answered_at is not None, f"{name} was never shown"
                assert wall() - answered_at <= CONFIRMED_WITHIN, f"{name} was not confirmed"


async def live(folder: Path, count: int, limit: int, plan: Sequence[Act], seed: int) -> None:
    """Live through a plan, and assert what is promised."""
    note(f"live(folder, {count}, {limit}, {plan}, {seed})")
    async with opened(folder) as store:
        harness = Harness(store, limit=limit)
        world = World(harness, count, seed)
        async with harness.running():
            await world.add(count)
            await anyio.sleep(SETTLED_AFTER / 4)
            await world.act(Act(0, "end"))
            await anyio.sleep(SETTLED_AFTER)
            assert world.covered, "requests for changes are not used"
            began = wall()
            for act in plan:
                await anyio.sleep(act.pause)
                await world.act(act)
            await anyio.sleep(CONFIRMED_WITHIN)
            await world.assert_noticed(began)
            world.assert_confirmed()
        assert harness.upstream.responses[429] == 0


COUNTS = st.sampled_from([1300, 3500])
SEEDS = st.integers(0, 9)
LIMITS = st.sampled_from([60, 120])
patient = settings(
    max_examples=int(EXAMPLES or 2),
    derandomize=EXAMPLES is None,
    phases=[Phase.reuse, Phase.generate],
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@patient
@given(count=COUNTS, limit=LIMITS, plan=acts(["add", "change", "end"]), seed=SEEDS)
async def test_changes_are_noticed_as_soon_as_budget_and_size_allow(
    count: int,
    limit: int,
    plan: Sequence[Act],
    seed: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    await live(tmp_path_factory.mktemp("plan"), count, limit, plan, seed)


@patient
@given(
    count=COUNTS,
    limit=LIMITS,
    plan=acts(["add", "change", "end", "heal", *FAULTS]),
    seed=SEEDS,
)
async def test_whatever_fails_changes_are_noticed_as_soon_as_with_pages_alone(
    count: int,
    limit: int,
    plan: Sequence[Act],
    seed: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    await live(tmp_path_factory.mktemp("plan"), count, limit, plan, seed)
