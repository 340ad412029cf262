"""The tasks of the modelled upstream, and when each changes."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CANONICAL: Mapping[str, str] = {
    "CANCELLED": "CANCELED",
    "ABORTED": "CANCELED",
    "SUCCESS": "COMPLETED",
    "SUCCEEDED": "COMPLETED",
    "ERROR": "FAILED",
    "ERRORED": "FAILED",
    "TIMED_OUT": "FAILED",
    "EXPIRED": "FAILED",
    "completed-with-errors": "COMPLETED_WITH_ERRORS",
    "Completed With Errors": "COMPLETED_WITH_ERRORS",
}
"""Upstream's spellings of a status, and the word that events use."""


def canonical(word: str) -> str:
    """Return the status that events have for upstream's word."""
    return CANONICAL.get(word, word.upper())


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One task upstream: `changes` are the times and words of its statuses, the first is its birth.

    From `gone_from` until `gone_until` upstream does not know it. A `discovered` one is added by a
    rule alone. `runs_again_at` is when it starts again after its end. Times are virtual seconds.
    """

    task_id: str
    changes: Sequence[tuple[float, str]]
    gone_from: float = float("inf")
    gone_until: float = float("inf")
    discovered: bool = False
    runs_again_at: float | None = None

    def word(self, now: float) -> str | None:
        """Return upstream's word at this time; None where upstream does not know the task."""
        if self.gone_from <= now < self.gone_until:
            return None
        position = bisect_right(self.changes, now, key=lambda change: change[0])
        return self.changes[position - 1][1] if position else None

    @property
    def history(self) -> list[str]:
        """The statuses in order, each as events have it, repeated ones once."""
        statuses: list[str] = []
        for _, word in self.changes:
            if not statuses or statuses[-1] != canonical(word):
                statuses.append(canonical(word))
        return statuses

    def fields(self, word: str) -> dict[str, Any]:
        """Return what upstream shows of the task beside its ID and status."""
        failed = canonical(word) == "FAILED"
        return {
            "task_type": "api_buckets_batches_process",
            "inputs": [f"batch_of_{self.task_id}"],
            "additional_data": {"error": "Object not found"} if failed else {"object_count": 3},
        }
