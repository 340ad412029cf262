"""What a failed list request says: about its IDs, about the list, or about the whole source."""

from collections.abc import Sequence

import anyio

from watcher.core.errors import SourceError, SourceFailure
from watcher.sources.mixpeek.bisection import Bisection
from watcher.sources.mixpeek.connection import Connection
from watcher.sources.mixpeek.list_health import FilterState, ListHealth
from watcher.sources.mixpeek.pagination import (
    PageTooLargeError,
    RejectedError,
    Send,
    id_query,
    read_page,
)

WHOLE_SOURCE = frozenset(
    {
        SourceFailure.CONNECT,
        SourceFailure.RATE_LIMITED,
        SourceFailure.REDIRECT,
        SourceFailure.UNAUTHORIZED,
    }
)
"""Failures that a smaller request would meet as well."""

UNAVAILABLE_STATUSES = frozenset({403, 404, 405, 501})
REQUEST_REJECTED = frozenset({400, 413, 414, 422, 431})
"""Statuses that concern a request and not the account or the route."""
_FAILURES_UNTIL_CHECK = 6
"""So many failures in a row, and the list may have failed altogether meanwhile."""
_TIMEOUTS_TOGETHER = 120.0
"""Seconds between two timeouts that may have the same cause."""


class ListDiagnosis:
    """Decides for one source; degrades its list through `health`."""

    def __init__(self, connection: Connection, health: ListHealth) -> None:
        self._connection = connection
        self._health = health
        self._timed_out_at = float("-inf")

    async def diagnose(
        self, task_ids: Sequence[str], error: SourceError, bisection: Bisection, send: Send
    ) -> None:
        """Return if the failure may be caused by the IDs or by their number.

        Otherwise degrade the list, or raise the error: a failed request like any other.
        """
        if isinstance(error, PageTooLargeError):
            return
        rejected_by = error.status if isinstance(error, RejectedError) and error.by_api else None
        if rejected_by in UNAVAILABLE_STATUSES:
            self._health.degrade(FilterState.UNAVAILABLE, str(error))
            return
        if error.reason in WHOLE_SOURCE or error.retry_after is not None:
            raise error
        first = not bisection.failed_before
        if first and error.reason is SourceFailure.TIMEOUT and not self._timed_out_before():
            raise error  # a test would take as long again; after the next timeout it is made
        check = first or bisection.failures % _FAILURES_UNTIL_CHECK == _FAILURES_UNTIL_CHECK - 1
        if not check or await self._accepts_any(task_ids, send):
            return
        if rejected_by not in REQUEST_REJECTED:
            raise error
        self._health.degrade(FilterState.SCAN_ALL, f"it rejects valid IDs ({error})")

    def _timed_out_before(self) -> bool:
        before, self._timed_out_at = self._timed_out_at, anyio.current_time()
        return self._timed_out_at - before < _TIMEOUTS_TOGETHER

    async def _accepts_any(self, task_ids: Sequence[str], send: Send) -> bool:
        """Return whether the list accepts the ID of a task that exists, or either end of these."""
        ends = dict.fromkeys((task_ids[0], task_ids[-1])) if len(task_ids) > 1 else {}
        known = {self._health.known_id: None} if self._health.known_id is not None else {}
        for task_id in [*{**known, **ends}][:2]:
            try:
                await read_page(send, id_query([task_id]), self._connection.error)
            except SourceError as error:
                if error.reason in WHOLE_SOURCE:
                    raise
            else:
                return True
        return False
