"""Reads for what people look at: one at a time, so that pages leave connections to the others."""

from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache

import anyio

from watcher.stores._rows import Row
from watcher.stores.postgresql.rows import cleaned

Read = Callable[..., Awaitable[Sequence[Row]]]


class PageReader:
    """Reads with `read`, which raises `StoreError`."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._lock = anyio.Lock()

    async def read(self, query: str, *parameters: object) -> Sequence[Row]:
        """Return all rows, as of the last commit; a parameter is `?` or `$1`."""
        async with self._lock:
            return await self._read(_numbered(query), *cleaned(parameters))


@lru_cache(maxsize=200)
def _numbered(query: str) -> str:
    """Replace each `?` by the number of its parameter."""
    first, *others = query.split("?")
    return first + "".join(f"${number}{text}" for number, text in enumerate(others, 1))
