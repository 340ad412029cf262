"""Whether changed tasks can be requested: said once when they cannot, and tried again later."""

import logging

import anyio

from watcher.core.log_fields import about

logger = logging.getLogger(__name__)

FIRST_RECHECK_AFTER = 60.0  # seconds
_PAUSE = 20.0
"""Seconds. The budget has three requests a minute left over for those that fail (`give_back`)."""
RECHECK_AFTER = 480.0
"""The most seconds until changed tasks are requested again."""
_ABOUT = 0.9


class ChangesHealth:
    """The state of one source's requests for changed tasks."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._paused_until = float("-inf")
        self._recheck_after = FIRST_RECHECK_AFTER
        self._proof = 0
        self._logged = False

    @property
    def usable(self) -> bool:
        return anyio.current_time() >= self._paused_until

    @property
    def in_doubt(self) -> bool:
        """Whether requests were not used, and none has worked since."""
        return self._logged

    def pause(self) -> None:
        """Request pages of all tasks before another request is tried."""
        self._pause(_PAUSE)

    def _pause(self, seconds: float) -> None:
        self._paused_until = max(self._paused_until, anyio.current_time() + seconds)

    def distrust(self, reason: str, count: int = 0) -> None:
        """Request pages of all tasks for a time that doubles until a request works again: one with
        about as many task IDs, if `count` of them were too many.
        """
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
        self._proof = int(count * _ABOUT)
        self._pause(self._recheck_after)
        self._recheck_after = min(self._recheck_after * 2, RECHECK_AFTER)

    def worked(self, count: int) -> None:
        """Note that a request with `count` task IDs was answered in full."""
        if not self.usable or count < self._proof:
            return
        self._recheck_after = FIRST_RECHECK_AFTER
        if self._logged:
            self._logged = False
            logger.info(
                "source %r: requests for changed tasks are used again",
                self._source,
                extra=about(source=self._source),
            )
