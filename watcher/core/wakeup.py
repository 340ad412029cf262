"""A hint that something new may be there, so that a loop need not wait for its timer. The store is
the truth.
"""

import anyio


class Wakeup:
    """Wakes those who wait. One that calls `wait` after a `set` it has not seen returns at once.

    >>> seen = wakeup.generation          # before looking
    >>> ...                               # look; nothing there
    >>> await wakeup.wait(seen)           # returns at once if `set` was called since
    """

    def __init__(self) -> None:
        self.generation = 0
        self._event = anyio.Event()

    def set(self) -> None:
        """Wake everyone who waits."""
        self.generation += 1
        self._event.set()
        self._event = anyio.Event()

    async def wait(self, seen: int) -> None:
        """Wait until `set` was called after generation `seen`."""
        if self.generation == seen:
            await self._event.wait()
