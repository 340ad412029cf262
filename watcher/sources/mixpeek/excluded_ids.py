"""Task IDs for which the list fails. They are polled individually, and tried in the list again
after ten minutes, later after up to a day, because a task may recover.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from watcher.core.cooldown import Now
from watcher.core.errors import SourceError
from watcher.core.log_fields import about

logger = logging.getLogger(__name__)

FIRST_RETRY_AFTER = 600.0
"""Seconds."""
_LONGEST_RETRY_AFTER = 86400.0  # seconds
_RETRY_EVERY = 10.0
"""Seconds between two retries of any IDs: each takes a request."""
_MAX_IDS = 10_000


@dataclass(slots=True, kw_only=True)
class _Exclusion:
    retry_at: float
    delay: float


class ExcludedIds:
    """The excluded IDs of one source; each is logged once."""

    def __init__(self, source: str, now: Now) -> None:
        self._source = source
        self._now = now
        self._exclusions: dict[str, _Exclusion] = {}
        self._logged: set[str] = set()
        self._next_retry_at = 0.0

    def among(self, task_ids: Iterable[str]) -> Sequence[str]:
        """Return those of `task_ids` that are excluded."""
        if not self._exclusions:
            return ()
        return [task_id for task_id in task_ids if task_id in self._exclusions]

    def due(self, task_ids: Iterable[str]) -> str | None:
        """Return one of these excluded IDs to try in the list now, if any."""
        now = self._now()
        if now < self._next_retry_at:
            return None
        for task_id in task_ids:
            if self._exclusions[task_id].retry_at <= now:
                self._next_retry_at = now + _RETRY_EVERY
                return task_id
        return None

    def exclude(self, task_id: str, error: SourceError) -> None:
        """Exclude an ID, or keep it excluded for longer."""
        if len(self._exclusions) >= _MAX_IDS:
            self._exclusions.clear()
        if len(self._logged) >= _MAX_IDS:
            self._logged.clear()
        known = self._exclusions.get(task_id)
        delay = FIRST_RETRY_AFTER if known is None else known.delay * 2
        delay = min(delay, _LONGEST_RETRY_AFTER)
        self._exclusions[task_id] = _Exclusion(retry_at=self._now() + delay, delay=delay)
        if task_id not in self._logged:
            self._logged.add(task_id)
            logger.warning(
                "source %r: the list fails for task ID %r (%s); polling it individually",
                self._source,
                task_id,
                error,
                extra=about(source=self._source, task_id=task_id),
            )

    def include(self, task_id: str) -> None:
        """Request an ID with lists again."""
        self._exclusions.pop(task_id, None)
