"""Whether a list is used: after failures, tasks are polled one by one for a time."""

import logging

from watcher.core.cooldown import Now
from watcher.core.errors import SourceError, SourceFailure
from watcher.core.log_fields import about

logger = logging.getLogger(__name__)

_MOST_FAILURES = 3
_SHORTEST = 60.0  # seconds
_LONGEST = 600.0  # seconds
_PERMANENT = frozenset({SourceFailure.REJECTED, SourceFailure.FORBIDDEN, SourceFailure.NOT_FOUND})


class ListHealth:
    """The state of one source's list. `now` returns monotonic seconds."""

    def __init__(self, source: str, now: Now) -> None:
        self._source = source
        self._now = now
        self._failures = 0
        self._pause = 0.0
        self._off_until = 0.0

    @property
    def works(self) -> bool:
        return self._now() >= self._off_until

    def succeeded(self) -> None:
        """Note that the list was read."""
        self._failures, self._pause = 0, 0.0

    def failed(self, error: SourceError) -> None:
        """Note a failure; after three in a row, or a rejection, the list is not used for a time:
        a minute, then twice as long each time, up to ten.
        """
        self._failures += 1
        if self._failures < _MOST_FAILURES and error.reason not in _PERMANENT:
            return
        first = not self._pause
        self._pause = min(max(self._pause * 2, _SHORTEST), _LONGEST)
        self._off_until = self._now() + self._pause
        if first:
            logger.warning(
                "source %r: the list fails (%s); tasks are polled one by one, and the list is "
                "tried again after %.0f s",
                self._source,
                error,
                self._pause,
                extra=about(source=self._source),
            )
