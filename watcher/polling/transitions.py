"""What an answer about a task means, compared with what is known of it. Pure."""

from enum import Enum
from typing import Protocol

from watcher.core.tasks import TERMINAL_STATUSES, Observation, TaskNotFound


class Known(Protocol):
    """What is known of a task so far. `missing_since` is in Unix seconds.

    `reopened_at` is None unless the task has ended before and may run again.
    """

    @property
    def status(self) -> str | None: ...

    @property
    def missing_since(self) -> float | None: ...

    @property
    def lost(self) -> bool: ...

    @property
    def reopened_at(self) -> float | None: ...


class Step(Enum):
    """What an answer means."""

    UNCHANGED = "unchanged"
    TRANSITION = "transition"
    FOUND = "found"  # known again, with the status it had, before it counted as lost
    MISSING = "missing"  # not known, for the first time
    STILL_MISSING = "still missing"
    LOST = "lost"  # not known, or rejected, for too long
    ENDED = "ended"  # reopened, but it has not run again for too long


def step(
    known: Known, answer: Observation | TaskNotFound, *, now: float, lost_after: float
) -> Step:
    """Return what `answer`, received at `now`, means for a task that is `known` so far.

    A lost task that comes back is a transition even with the status it had: `task.lost` was sent,
    so receivers have to learn that it exists.
    """
    if known.status in TERMINAL_STATUSES and known.reopened_at is None:
        return Step.UNCHANGED
    if isinstance(answer, TaskNotFound):
        return _absence(known, now, lost_after)
    if answer.status != known.status or known.lost:
        return Step.TRANSITION
    return Step.UNCHANGED if known.missing_since is None else Step.FOUND


def _absence(known: Known, now: float, lost_after: float) -> Step:
    if known.lost:
        return Step.STILL_MISSING
    if known.missing_since is None:
        return Step.MISSING
    # Without this a clock that was set back would keep a task from ever being lost.
    if now < known.missing_since:
        return Step.MISSING
    return Step.LOST if now - known.missing_since > lost_after else Step.STILL_MISSING
