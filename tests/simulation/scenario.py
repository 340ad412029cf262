"""What a seed decides: the tasks, the settings, every fault, and what operators do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

from tests.simulation.disk import DiskFault, DiskWindow
from tests.simulation.faults import FAULTS, NOT_YET, Hides
from tests.simulation.limit_headers import FORMS
from tests.simulation.lives import CANONICAL, Life, canonical
from tests.simulation.receivers import RECEIVER_FAULTS, ReceiverWindow
from tests.simulation.upstream import FaultWindow

CHANNELS = ("backend", "alerts")
SOURCE = "mixpeek"
FIRST_FAULT = 20.0
"""Virtual seconds before the first fault."""

_RUNNING = ("PENDING", "QUEUED", "IN_PROGRESS", "PROCESSING")
_TERMINAL = ("COMPLETED", "COMPLETED_WITH_ERRORS", "FAILED", "CANCELED", "SKIPPED")


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Something that happens to the daemon at a virtual time.

    `add` puts tasks on the watchlist (again, if `again`), `remove` takes them off. `kill` ends the
    process after so many awaits, `stop` in order; it starts again after `seconds`. `reload` starts
    a generation with other settings. `jump` sets the wall clock by `seconds`.
    """

    at: float
    kind: Literal["add", "remove", "kill", "stop", "reload", "jump", "pause", "resume"]
    task_ids: Sequence[str] = ()
    again: bool = False
    channel: str = ""
    seconds: float = 0.0
    awaits: int = 0
    settings: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = [self.kind, *self.task_ids, self.channel, "again" if self.again else ""]
        parts += [f"after {self.awaits} awaits"] if self.awaits else []
        parts += [f"{self.seconds:+.1f} s"] if self.seconds else []
        return " ".join(part for part in [*parts, str(self.settings or "")] if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Everything that a seed decides. After `ends` nothing fails any more.

    `limit` is requests per minute and route.
    """

    seed: int
    ends: float
    lives: Sequence[Life]
    limit: int | None
    polling: dict[str, Any]
    discovery: float | None
    page_cap: int
    lagging: float
    header_form: str
    upstream: Sequence[FaultWindow]
    receivers: Mapping[str, Sequence[ReceiverWindow]]
    disk: Sequence[DiskWindow]
    actions: Sequence[Action]


def draw(seed: int) -> Scenario:
    """Return the scenario of a seed; always the same."""
    random = Random(seed)
    ends = random.uniform(150.0, 700.0)
    discovery = random.choice((None, None, random.uniform(10.0, 60.0)))
    lives = _lives(random, ends, discovered=discovery is not None)
    upstream = _upstream_windows(random, ends, lives)
    receivers = {name: _receiver_windows(random, ends) for name in CHANNELS}
    return Scenario(
        seed=seed,
        ends=ends,
        lives=lives,
        limit=random.choice((10, 60, 60, 60, 300, None)),
        polling=_polling(random),
        discovery=discovery,
        page_cap=random.choice((1000, 1000, 7)),
        lagging=random.choice((0.0, 0.0, 0.5)) * ("replicas" not in NOT_YET),
        header_form=random.choice(("none", "none", *FORMS)),
        upstream=upstream,
        receivers=receivers,
        disk=_disk_windows(random, ends),
        actions=_actions(random, ends, lives, receivers),
    )


def _polling(random: Random) -> dict[str, Any]:
    return {
        "mode": random.choice(("auto", "auto", "auto", "list", "get")),
        "max_interval": random.choice((10.0, 30.0, 30.0)),
        "lost_after": random.choice((60.0, 120.0, 600.0)),
    }


# Tasks


def _lives(random: Random, ends: float, *, discovered: bool) -> list[Life]:
    count = random.choice((1, 3, 5, 8, 12, 25))
    return [
        _life(random, f"task_{number}", ends, discovered=discovered and random.random() < 0.5)
        for number in range(count)
    ]


def _life(random: Random, task_id: str, ends: float, *, discovered: bool) -> Life:
    born = random.uniform(30.0 if discovered else -100.0, ends / 2)
    changes = [(born, random.choice(_RUNNING))]
    for _ in range(random.randint(0, 5)):
        at = min(changes[-1][0] + random.uniform(0.5, ends / 3), ends - 1.0)
        changes.append((at, random.choice((*_RUNNING, "UNKNOWN", "INTERRUPTED"))))
    if random.random() < 0.9:
        at = min(changes[-1][0] + random.uniform(0.5, ends / 3), ends)
        spelled = random.random() < 0.2
        word = random.choice((*CANONICAL,) if spelled else _TERMINAL)
        word = canonical(word) if "spellings" in NOT_YET else word
        changes = [change for change in changes if change[0] < at or change[0] == born]
        changes.append((max(at, born + 0.5), word))
        if not discovered and at < ends - 60.0 and random.random() < 0.1:
            return _run_again(random, task_id, changes, ends)
    gone = random.random() < 0.08
    begins = random.uniform(FIRST_FAULT, ends)
    for_seconds = random.choice((30.0, 200.0, float("inf")))
    return Life(
        task_id=task_id,
        changes=changes,
        discovered=discovered,
        gone_from=begins if gone and not discovered else float("inf"),
        gone_until=min(begins + for_seconds, ends) if for_seconds < 1e9 else float("inf"),
    )


def _run_again(
    random: Random, task_id: str, changes: Sequence[tuple[float, str]], ends: float
) -> Life:
    """Return a life that goes on after its end, as when failed batches are submitted again."""
    again_at = random.uniform(changes[-1][0] + 30.0, ends - 10.0)
    running = (again_at, random.choice(_RUNNING))
    end = (random.uniform(again_at + 1.0, ends), random.choice(_TERMINAL))
    return Life(task_id=task_id, changes=[*changes, running, end], runs_again_at=again_at)


# Faults


def _window(random: Random, ends: float) -> tuple[float, float]:
    begins = random.uniform(FIRST_FAULT, ends - 5.0)
    longest = random.choice((10.0, 60.0, 150.0, 400.0))
    return begins, min(begins + random.uniform(1.0, longest), ends)


def _upstream_windows(random: Random, ends: float, lives: Sequence[Life]) -> list[FaultWindow]:
    windows = []
    for _ in range(random.choice((0, 1, 2, 4, 6))):
        begins, stops = _window(random, ends)
        fault = FAULTS[random.choice(sorted(FAULTS))]
        names = [life.task_id for life in lives]
        chosen = random.sample(names, min(len(names), random.choice((1, 1, 3))))
        window = FaultWindow(
            begins=begins,
            ends=stops,
            fault=fault,
            share=random.choice((1.0, 1.0, 0.8, 0.3)),
            task_ids=frozenset(chosen if fault.hides is Hides.TASKS else ()),
        )
        # Drawn all the same, so that a seed stays what it is when the list changes.
        if fault.name not in NOT_YET:
            windows.append(window)
    return windows


def _receiver_windows(random: Random, ends: float) -> list[ReceiverWindow]:
    windows = []
    for _ in range(random.choice((0, 0, 1, 3))):
        begins, stops = _window(random, ends)
        name = random.choice(sorted(RECEIVER_FAULTS))
        share = random.choice((1.0, 1.0, 0.5, 0.2))
        windows.append(
            ReceiverWindow(begins=begins, ends=stops, fault=RECEIVER_FAULTS[name], share=share)
        )
    return windows


def _disk_windows(random: Random, ends: float) -> list[DiskWindow]:
    windows = []
    for _ in range(random.choice((0, 0, 1, 2))):
        begins, stops = _window(random, ends)
        fault = random.choice(list(DiskFault))
        windows.append(DiskWindow(begins=begins, ends=stops, fault=fault))
    return windows


# What operators, the supervisor and the clock do


def _actions(
    random: Random,
    ends: float,
    lives: Sequence[Life],
    receivers: Mapping[str, Sequence[ReceiverWindow]],
) -> list[Action]:
    actions = _additions(random, lives)
    for _ in range(random.choice((0, 1, 2, 4))):
        at = random.uniform(5.0, ends)
        seconds = random.choice((0.0, 1.0, random.uniform(1.0, 60.0)))
        awaits = random.choice((1, 10, 100, 1000)) * random.randint(1, 10)
        kind: Literal["kill", "stop"] = random.choice(("kill", "kill", "stop"))
        actions.append(
            Action(at=at, kind=kind, awaits=awaits if kind == "kill" else 0, seconds=seconds)
        )
    for _ in range(random.choice((0, 0, 1, 2))):
        settings = {"polling": _polling(random), "concurrency": random.choice((1, 4, 8))}
        actions.append(Action(at=random.uniform(5.0, ends), kind="reload", settings=settings))
    for _ in range(random.choice((0, 0, 0, 1, 2))):
        seconds = random.choice((-1.0, 1.0)) * random.choice((3.0, 70.0, 3600.0, 86400.0))
        actions.append(Action(at=random.uniform(5.0, ends), kind="jump", seconds=seconds))
    for name in CHANNELS:
        if random.random() < 0.2:
            begins, stops = _window(random, ends)
            actions.append(Action(at=begins, kind="pause", channel=name))
            actions.append(Action(at=stops, kind="resume", channel=name))
    return sorted(actions, key=lambda action: action.at)


def _later(random: Random, life: Life, added_at: float) -> list[Action]:
    """Return what an operator does with a task after it was added; mostly nothing."""
    if life.runs_again_at is not None:
        # Later than any replica is behind: before, it would be reopened and seen to end again.
        at = max(life.runs_again_at, added_at) + random.choice((3.0, 40.0))
        return [Action(at=at, kind="add", task_ids=[life.task_id], again=True)]
    number = random.random()
    if number < 0.1:
        return [Action(at=added_at + 30.0, kind="add", task_ids=[life.task_id])]
    if number < 0.14:
        at = added_at + random.choice((0.01, 5.0, 90.0))
        return [Action(at=at, kind="remove", task_ids=[life.task_id])]
    return []


def _additions(random: Random, lives: Sequence[Life]) -> list[Action]:
    """Each task that no rule finds is added, some before upstream knows them."""
    actions = []
    for life in lives:
        if not life.discovered:
            at = max(life.changes[0][0] + random.uniform(-20.0, 60.0), 1.0)
            actions.append(Action(at=at, kind="add", task_ids=[life.task_id]))
            actions += _later(random, life, at)
    return actions
