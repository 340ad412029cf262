"""A hint that something may be due, so that a loop does not wait for its timer. The store
decides.
"""

import anyio


class Wakeup:
    """Wakes all waiting tasks. A `wait` after a `set` that it has not seen returns at once.

    >>> seen = wakeup.generation          # before looking
    >>> ...                               # look; nothing there
    >>> await wakeup.wait(seen)           # returns at once if `set` was called since
    """

    def __init__(self) -> None:
        self.generation = 0
        self._event: anyio.Event | None = None  # made by the first that waits

    def set(self) -> None:
        """Wake all waiting tasks."""
        self.generation += 1
        if self._event is not None:
            self._event.set()
            self._event = None

    async def wait(self, seen: int) -> None:
        """Wait until `set` was called after generation `seen`."""
        if self.generation == seen:
            if self._event is None:
                self._event = anyio.Event()
            await self._event.wait()
