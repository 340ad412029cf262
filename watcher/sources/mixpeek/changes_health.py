"""Whether changed tasks can be requested: said once when they cannot, and tried again later."""

import logging

import anyio

from watcher.core.log_fields import about

logger = logging.getLogger(__name__)

FIRST_RECHECK_AFTER = 60.0
_FIRST_PAUSE = 10.0
RECHECK_AFTER = 600.0
"""The most seconds until changed tasks are requested again."""


class ChangesHealth:
    """The state of one source's requests for changed tasks."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._paused_until = float("-inf")
        self._recheck_after = FIRST_RECHECK_AFTER
        self._next_pause = _FIRST_PAUSE
        self._logged = False

    @property
    def usable(self) -> bool:
        return anyio.current_time() >= self._paused_until

    def pause(self) -> None:
        """Request pages of all tasks until a smaller request is tried; longer each time."""
        self._pause(self._next_pause)
        self._next_pause *= 2

    def _pause(self, seconds: float) -> None:
        self._paused_until = max(self._paused_until, anyio.current_time() + seconds)

    def distrust(self, reason: str) -> None:
        """Request pages of all tasks for a time that doubles until a request works again."""
        if not self.usable:
            return
        if not self._logged:
            logger.warning(
                "source %r: requests for changed tasks are not used now: %s",
                self._source,
                reason,
                extra=about(source=self._source),
            )
        self._logged = True
        self._pause(self._recheck_after)
        self._next_pause = _FIRST_PAUSE
        self._recheck_after = min(self._recheck_after * 2, RECHECK_AFTER)

    def worked(self) -> None:
        """Note that a request was answered in full."""
        if not self.usable:
            return
        self._recheck_after = FIRST_RECHECK_AFTER
        self._next_pause = _FIRST_PAUSE
        if self._logged:
            self._logged = False
            logger.info(
                "source %r: requests for changed tasks are used again",
                self._source,
                extra=about(source=self._source),
            )
