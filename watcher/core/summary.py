"""What the store counts for the daemon's status, as records. Times are Unix seconds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureGroup:
    """Tasks that ended alike: `status`, and the first characters of their errors."""

    status: str
    error: str | None
    count: int
    last_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSummary:
    """What the store counts. `transitions` are those of each of the last 60 minutes, the oldest
    first; `failures` those of the last day, the largest groups first.
    """

    ended: Mapping[str, int]
    failures: Sequence[FailureGroup]
    lost: int
    lost_at: float | None
    stalled: int
    stalled_at: float | None
    transitions: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class TroubledTasks:
    """How many tasks of a source are lost, and how many stalled. One may be both."""

    lost: int = 0
    stalled: int = 0
