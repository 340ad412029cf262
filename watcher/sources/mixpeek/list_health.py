"""Whether the task list works, judged by its pages, its errors and the tasks that only a GET finds.

Nothing about the task ID filter is taken on trust. When the list rejects IDs that are known to be
valid, returns tasks that were not requested, or omits tasks that exist, the filter is not used: the
list is scanned without it. A list of which the API itself says that it does not exist, or that
fails three times in a row, is not used at all. Each doubt is tried again within a minute, and
later, if it is confirmed, after up to ten.
"""

import logging
from collections.abc import Iterable
from enum import Enum

import anyio

from watcher.core.errors import SourceError, SourceFailure
from watcher.core.log_fields import about
from watcher.sources.mixpeek.pagination import LIST_TASKS

logger = logging.getLogger(__name__)

FIRST_RECHECK_AFTER = 60.0
"""Seconds until a list that misbehaved for the first time is used normally again."""
RECHECK_AFTER = 600.0
"""The most seconds until then."""
FAILURE_PAUSE = 60.0
"""Seconds that a list which keeps failing is not used."""

_MAX_FAILURES = 3
_MAX_OMISSIONS = 3


class FilterState(Enum):
    """How the list is used; the values appear in logs."""

    WORKING = "filtered by task ID"
    SCAN_ALL = "scanned completely, without the task ID filter"
    UNAVAILABLE = "not used"


class ListHealth:
    """The state of one source's list. `known_id` is a task that exists, to test the filter with."""

    def __init__(self, source: str) -> None:
        self.known_id: str | None = None
        self._source = source
        self._state = FilterState.WORKING
        self._degraded_until = 0.0
        self._recheck_after = FIRST_RECHECK_AFTER
        self._logged = False
        self._failures = 0
        self._failed_at = float("-inf")
        self._omitted_ids: set[str] = set()
        self._omissions = 0

    @property
    def state(self) -> FilterState:
        if self._state is not FilterState.WORKING and anyio.current_time() >= self._degraded_until:
            self._state = FilterState.WORKING
        return self._state

    def degrade(self, state: FilterState, reason: str) -> None:
        """Use the list as `state` says for a time that doubles until the filter works again.

        A worse state replaces a better one; a request sent before the list was degraded changes
        nothing else.
        """
        if self.state in (state, FilterState.UNAVAILABLE):
            return
        if not self._logged:
            logger.warning(
                "source %r: %s is now %s: %s",
                self._source,
                LIST_TASKS,
                state.value,
                reason,
                extra=about(source=self._source),
            )
        self._logged = True
        self._state = state
        self._degraded_until = anyio.current_time() + self._recheck_after
        self._recheck_after = min(self._recheck_after * 2, RECHECK_AFTER)
        self._forget_omissions()

    def filter_worked(self) -> None:
        """Note that a filtered request returned tasks that it named."""
        self._forget_omissions()
        if self.state is not FilterState.WORKING:
            return
        self._recheck_after = FIRST_RECHECK_AFTER
        if self._logged:
            self._logged = False
            logger.info(
                "source %r: %s is %s again",
                self._source,
                LIST_TASKS,
                FilterState.WORKING.value,
                extra=about(source=self._source),
            )

    def filter_returned_nothing(self, task_ids: Iterable[str]) -> None:
        """Note that a filtered request for these tasks returned none of them."""
        if self.state is FilterState.WORKING:
            self._omitted_ids = set(task_ids)

    def found_by_get(self, task_id: str) -> None:
        """Note that this task exists; degrades a list that omitted several such tasks."""
        if self.known_id is None:
            self.known_id = task_id
        if task_id in self._omitted_ids:
            self._omitted_ids.discard(task_id)
            self._omissions += 1
            if self._omissions >= _MAX_OMISSIONS:
                self.degrade(FilterState.SCAN_ALL, "it omits tasks that exist")

    @property
    def in_doubt(self) -> bool:
        """Whether the list was not used normally before, and has not worked since."""
        return self._logged or self._failures >= _MAX_FAILURES

    def fetch_succeeded(self) -> None:
        self._failures = 0

    def fetch_failed(self, error: SourceError, began: float) -> None:
        """Note that a fetch which began at `began` failed; several in a row make the list
        unavailable for `FAILURE_PAUSE`. Those that were in flight at once count as one.
        """
        if error.reason in (SourceFailure.RATE_LIMITED, SourceFailure.UNAUTHORIZED):
            return
        if began < self._failed_at:
            return
        self._failed_at = anyio.current_time()
        self._failures += 1
        if self._failures >= _MAX_FAILURES:
            self._state = FilterState.UNAVAILABLE
            self._degraded_until = anyio.current_time() + FAILURE_PAUSE

    def source_recovered(self) -> None:
        """Note that GET works again: the list failed because the whole source was down."""
        if not self._failures:
            return
        self._failures = 0
        if self._state is FilterState.UNAVAILABLE:
            self._state = FilterState.WORKING

    def _forget_omissions(self) -> None:
        self._omitted_ids.clear()
        self._omissions = 0
