"""What is logged of clients that do not speak HTTP, or not the HTTP that we accept."""

import logging
from collections.abc import Callable

from watcher.core.log_fields import about
from watcher.telemetry.throttle import LogThrottle

logger = logging.getLogger(__name__)

_TEXT = 100
"""Characters of an error that distinguish its kinds."""


class Rejections:
    """Counts them, and logs one line per interval with their number."""

    def __init__(self, listener: str, now: Callable[[], float]) -> None:
        self._listener = listener
        self._throttle = LogThrottle(now)
        self._count = 0

    def add(self, peer: str, what: str) -> None:
        """Count a client of address `peer`; `what` is our own text, nothing that it sent."""
        self._count += 1
        if self._throttle.ready(None):
            logger.info(
                "%s: closed %d connections since the last such line; the last one, from %s, %s",
                self._listener,
                self._count,
                peer,
                what,
                extra=about(peer=peer),
            )
            self._count = 0

    def failed(self, error: Exception) -> None:
        """Log an unexpected error of a request, each kind once per interval."""
        if self._throttle.ready((type(error), str(error)[:_TEXT])):
            logger.error(
                "%s: unexpected error in a request. Please report it",
                self._listener,
                exc_info=error,
            )
