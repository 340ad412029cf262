"""Memory for the bodies of responses that are being read, over all connections.

Each has a limit of its own, but a peer can make many of them arrive at once, and stop before each
ends.
"""

from types import TracebackType
from typing import Self

_FREE = 256 * 1024


class ResponseMemory:
    """At most `limit` bytes for what bodies have above their first 256 KiB."""

    def __init__(self, limit: int) -> None:
        self.remaining = limit


BODIES = ResponseMemory(48 * 1024 * 1024)
"""The one of this process: a page of 40 MiB, and some smaller bodies."""


class BodyShare:
    """What one body takes of the memory, until the context ends."""

    def __init__(self, memory: ResponseMemory) -> None:
        self._memory = memory
        self._taken = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._memory.remaining += self._taken

    def fits(self, total: int) -> bool:
        """Take memory for a body of `total` bytes; return whether there is enough."""
        more = total - _FREE - self._taken
        if more > self._memory.remaining:
            return False
        if more > 0:
            self._memory.remaining -= more
            self._taken += more
        return True
