"""The memory that large bodies of all channels may take while they are sent."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from watcher.core.wakeup import Wakeup

LIMIT = 16 * 1024 * 1024
"""Bytes."""


class BodyMemory:
    """Shared by all channels. A body larger than `limit` is sent while no other is."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._used = 0
        self._released = Wakeup()

    @asynccontextmanager
    async def reserved(self, size: int) -> AsyncIterator[None]:
        """Wait until `size` bytes are free, and hold them."""
        while self._used and self._used + size > self._limit:
            await self._released.wait(self._released.generation)
        self._used += size
        try:
            yield
        finally:
            self._used -= size
            self._released.set()
