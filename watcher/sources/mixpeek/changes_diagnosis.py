"""What a request for changes that does not work says: about its size, its form, or the source.

It is found out at the least cost to the pages that are requested meanwhile. Whether a sentinel
exists is shown by a GET, which has a budget of its own. Whether a small request works is tried
later, in the turn of the next request for changes. So one request fails at a time, and all tasks
are polled by pages before the next one.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass

from watcher.core.errors import IncompleteAnswerError, SourceError
from watcher.core.interfaces.source import LastSeen
from watcher.core.tasks import Observation, Shown
from watcher.sources.mixpeek.changes_health import ChangesHealth
from watcher.sources.mixpeek.get_endpoint import GetEndpoint
from watcher.sources.mixpeek.list_diagnosis import (
    REQUEST_REJECTED,
    UNAVAILABLE_STATUSES,
    WHOLE_SOURCE,
)
from watcher.sources.mixpeek.page_limit import PageLimit
from watcher.sources.mixpeek.pagination import RejectedError

MOST_GROUPS = 8
FEWEST_IDS = 1500
"""With fewer IDs, requests for changes cover all tasks no sooner than pages do, because they share
the budget with pages of what is new or has just changed.
"""
_TOO_LARGE = 413
_GET_WAIT = 5.0
"""Seconds to wait for the budget of GET."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A request with `count` task IDs that failed; `alone` are its sentinels without the others."""

    count: int
    error: SourceError
    alone: Sequence[LastSeen]


class ChangesDiagnosis:
    """Decides for one source. `most_groups` is how many groups a request may have. `suspect` is the
    last request, if it failed and has to be examined.
    """

    def __init__(self, health: ChangesHealth, limit: PageLimit, single: GetEndpoint) -> None:
        self._health = health
        self._limit = limit
        self._single = single
        self.suspect: Suspect | None = None
        self.most_groups = MOST_GROUPS

    def answered(self, count: int, *, slow: bool) -> None:
        """Note that a request with `count` task IDs was answered in full."""
        if slow:
            self._too_large(count, "its answers are slow")
        else:
            self._limit.worked(count)
            self._health.worked(count)

    def failed(self, groups: Sequence[LastSeen], error: SourceError) -> SourceError:
        """Note that a request failed; return what this means for its tasks."""
        if error.reason in WHOLE_SOURCE or error.retry_after is not None:
            return error
        count = _count(groups)
        if _rejected_with(error, UNAVAILABLE_STATUSES):
            self._health.distrust(str(error))
        elif error.status == _TOO_LARGE or count > self._limit.works:
            self._too_large(count, str(error))
        else:
            alone = [
                LastSeen(status=group.status, ids=b"", count=0, sentinel=group.sentinel)
                for group in groups
            ]
            self.suspect = Suspect(count=count, error=error, alone=alone)
            self._health.pause()
        return IncompleteAnswerError(str(error))

    async def examined(
        self, suspect: Suspect, shown: AsyncIterator[Sequence[Shown]]
    ) -> SourceError:
        """Read what a request for `suspect.alone` shows; return what it means for the tasks of the
        request that failed.
        """
        self.suspect = None
        try:
            async for _ in shown:
                pass
        except SourceError as error:
            if not _rejected_with(error, REQUEST_REJECTED):
                return error
            self._form_rejected(suspect, error)
        else:
            self._too_large(suspect.count, str(suspect.error))
        return IncompleteAnswerError(str(suspect.error))

    async def incomplete(self, groups: Sequence[LastSeen], missing: Collection[str]) -> SourceError:
        """Return why an answer did not show the sentinels that are missing."""
        count = _count(groups)
        unknown = frozenset[str]()
        if count <= self._limit.works:
            try:
                unknown = await self._unknown(groups, missing)
            except SourceError:
                self._health.pause()  # another sentinel, or a later request, may show it
                missing = ()
        if missing and not unknown:
            self._too_large(count, "lists of task IDs are cut")
        text = "the answer does not show a task that it has to show"
        return IncompleteAnswerError(text, unknown=unknown)

    async def _unknown(
        self, groups: Sequence[LastSeen], missing: Collection[str]
    ) -> frozenset[str]:
        """Return the missing sentinels that do not exist, or have the status of their group."""
        unknown = set[str]()
        for group in groups:
            if group.sentinel in missing:
                answer = await self._single.sample(group.sentinel, _GET_WAIT)
                if not isinstance(answer, Observation) or answer.status == group.status:
                    unknown.add(group.sentinel)
        return frozenset(unknown)

    def _form_rejected(self, suspect: Suspect, error: SourceError) -> None:
        if len(suspect.alone) > 1:
            self.most_groups = 1
        else:
            self._health.distrust(f"the condition is rejected ({error})")

    def _too_large(self, count: int, reason: str) -> None:
        was_trial = count > self._limit.works
        self._limit.failed(count, works=max(count // 2, FEWEST_IDS))
        if count <= FEWEST_IDS:
            self._health.distrust(f"{reason} with {count} task IDs", count)
            self._limit.restore(FEWEST_IDS)
        elif not was_trial:
            self._health.pause()


def _count(groups: Sequence[LastSeen]) -> int:
    return sum(group.count for group in groups)


def _rejected_with(error: SourceError, statuses: frozenset[int]) -> bool:
    """Return whether the API itself has answered with one of these statuses."""
    return isinstance(error, RejectedError) and error.by_api and error.status in statuses
