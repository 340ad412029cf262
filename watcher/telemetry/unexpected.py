"""Unexpected errors: counted, logged at a bounded rate, and no end of the daemon."""

import logging
from collections.abc import Awaitable, Callable

import anyio

from watcher.telemetry.metrics import Component, Metrics
from watcher.telemetry.throttle import LogThrottle

logger = logging.getLogger(__name__)

_FIRST_PAUSE = 1.0  # seconds
_LONGEST_PAUSE = 30.0
"""Seconds; less than the liveness probe allows."""


class UnexpectedErrors:
    """Where a component reports an exception that it did not expect, and goes on."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._log_throttle = LogThrottle(anyio.current_time)

    def report(self, component: Component, error: Exception) -> None:
        """Count the error, and log it with its traceback, once per place and interval."""
        self._metrics.unexpected_error(component)
        if self._log_throttle.ready((component, type(error), _place(error))):
            logger.error(
                "unexpected error in the %s; it continues. Please report it",
                component,
                exc_info=error,
            )

    async def keep_running(self, component: Component, run: Callable[[], Awaitable[None]]) -> None:
        """Run until `run` returns; run it again after each unexpected error."""
        pause = _FIRST_PAUSE
        while True:
            began = anyio.current_time()
            try:
                return await run()
            except Exception as error:
                self.report(component, error)
            if anyio.current_time() - began > _LONGEST_PAUSE:
                pause = _FIRST_PAUSE
            await anyio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)


def _place(error: Exception) -> tuple[str, int] | None:
    """Return the file and the line that raised the error."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return None
    return traceback.tb_frame.f_code.co_filename, traceback.tb_lineno
