"""Requests for a reload, and what a reload keeps."""

import logging
from collections.abc import Callable

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from watcher.core.errors import ConfigurationError
from watcher.core.settings import Settings

logger = logging.getLogger(__name__)

ReloadRequests = MemoryObjectReceiveStream[Settings]
"""Each item is new settings to run with; the end of the stream means: stop in order."""

_NEEDS_RESTART = ("store", "server", "telemetry")


async def next_request(requests: ReloadRequests) -> Settings | None:
    """Return the next settings; None at the end of the stream."""
    try:
        return await requests.receive()
    except anyio.EndOfStream:
        return None


class Reloader:
    """Reloads the configuration; sections that need a restart keep their first values."""

    def __init__(self, settings: Settings, load: Callable[[], Settings]) -> None:
        self._first = settings
        self._load = load
        self.files = settings.files
        """Files of secrets and certificates that the last valid configuration was read from."""

    def reload(self) -> Settings | None:
        """Return the current settings; None if they are invalid, with each error logged."""
        try:
            reloaded = self._load()
        except ConfigurationError as error:
            for problem in error.problems:
                logger.error("invalid configuration, nothing was changed: %s", problem)
            return None
        kept = {name: getattr(self._first, name) for name in _NEEDS_RESTART}
        for name, value in kept.items():
            if getattr(reloaded, name) != value:
                logger.warning("a change to %s needs a restart; the old value is kept", name)
        logger.info("configuration reloaded")
        self.files = reloaded.files
        return reloaded.model_copy(update=kept)
