"""Counts for the daemon's status, in whatever database they are."""

import heapq
import math
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from watcher.core.summary import FailureGroup, StoredSummary, TroubledTasks
from watcher.stores import _minutes
from watcher.stores._minutes import MinuteCounts, Read

_DAY = 86400.0
_MINUTE = 60.0
_GROUPS = 100
"""Groups of failures that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statements:
    """The statements of a database."""

    ended: str
    """Each status but COMPLETED of watches that are done, with their number."""
    done: str
    """The number of watches that are done."""
    troubled: str
    """Of each source: the number of lost and of stalled tasks."""
    lost: str
    """The number of lost tasks, and the last time."""
    stalled: str
    """The number of stalled tasks, and the last time."""
    minutes: _minutes.Statements


class CountedSummary(ABC):
    """Implements `watcher.core.interfaces.summary.Summary`."""

    _summary_statements: ClassVar[Statements]

    @property
    @abstractmethod
    def _read_counts(self) -> Read:
        """What reads all rows of a statement."""

    @cached_property
    def _minutes(self) -> MinuteCounts:
        return MinuteCounts(self._read_counts, self._summary_statements.minutes)

    async def summary(self, now: float) -> StoredSummary:
        read, statements = self._read_counts, self._summary_statements
        # A whole minute, so that the address of what was counted stays the same for a while.
        since = _MINUTE * math.ceil((now - _DAY) / _MINUTE)
        ((lost, lost_at),) = await read(statements.lost)
        ((stalled, stalled_at),) = await read(statements.stalled)
        return StoredSummary(
            ended=await self.ended(),
            failures=await self._largest_groups(since),
            failures_since=since,
            lost=lost,
            lost_at=lost_at,
            stalled=stalled,
            stalled_at=stalled_at,
            minutes=await self._minutes.last_hour(now),
        )

    async def _largest_groups(self, since: float) -> Sequence[FailureGroup]:
        groups: list[FailureGroup] = []
        async for group in self._failures(since):
            groups.append(group)
            if len(groups) == 2 * _GROUPS:  # each task may have failed in its own way
                groups = _largest(groups)
        return _largest(groups)

    @abstractmethod
    def _failures(self, since: float) -> AsyncIterator[FailureGroup]:
        """Yield the groups of the tasks that failed since then, of which a store may leave out
        small ones.
        """

    async def ended(self) -> Mapping[str, int]:
        ended = dict(await self._read_counts(self._summary_statements.ended))
        ((done,),) = await self._read_counts(self._summary_statements.done)
        if completed := done - sum(ended.values()):
            ended["COMPLETED"] = completed
        return ended

    async def troubled_tasks(self) -> Mapping[str, TroubledTasks]:
        return {
            source: TroubledTasks(lost=lost, stalled=stalled)
            for source, lost, stalled in await self._read_counts(self._summary_statements.troubled)
        }


def _largest(groups: Sequence[FailureGroup]) -> list[FailureGroup]:
    return heapq.nlargest(_GROUPS, groups, key=lambda group: (group.count, group.last_at))
