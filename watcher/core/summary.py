"""What the store counts for the daemon's status, as records. Times are Unix seconds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ALIKE = 40
"""Characters with which the errors of a group begin alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureGroup:
    """Tasks that ended alike: `status`, and the error of one, cut to 200 characters."""

    status: str
    error: str | None
    count: int
    last_at: float

    @property
    def alike(self) -> str:
        """What the errors of all its tasks begin with; empty if they have none."""
        return (self.error or "")[:ALIKE]


@dataclass(frozen=True, slots=True, kw_only=True)
class Minute:
    """The transitions of the minute that began at `began`; `failed` of them to FAILED."""

    began: float
    transitions: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSummary:
    """What the store counts. `minutes` are the last 60, the oldest first, up to the present one;
    `failures` are those since `failures_since`, a day ago: the largest groups, at most 100, the
    largest first.
    """

    ended: Mapping[str, int]
    failures: Sequence[FailureGroup]
    failures_since: float
    lost: int
    lost_at: float | None
    stalled: int
    stalled_at: float | None
    minutes: Sequence[Minute]


@dataclass(frozen=True, slots=True, kw_only=True)
class TroubledTasks:
    """How many tasks of a source are lost, and how many stalled. One may be both."""

    lost: int = 0
    stalled: int = 0
