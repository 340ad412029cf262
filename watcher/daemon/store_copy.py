"""Copies a stopped store to another URL, and compares what has arrived."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import msgspec

from watcher.configuration import plugins
from watcher.core.errors import StoreError, StoreUnusableError
from watcher.core.interfaces.copying import Exported, Imported, Row

_encode = msgspec.msgpack.Encoder(order="sorted").encode
_DIGEST_SIZE = 16
_MODULUS = 2 ** (8 * _DIGEST_SIZE)
Progress = Callable[[str, int, int], None]
"""Receives a table, how many of its rows were copied, and how many it has."""


@dataclass(slots=True)
class Contents:
    """How many rows a table has, and a digest of them, whatever their order is."""

    count: int = 0
    _sum: int = field(default=0)

    def add(self, rows: Sequence[Row]) -> None:
        self.count += len(rows)
        for row in rows:
            digest = blake2b(_encode(list(row)), digest_size=_DIGEST_SIZE).digest()
            self._sum += int.from_bytes(digest, "big")

    @property
    def digest(self) -> str:
        return f"{self._sum % _MODULUS:0{2 * _DIGEST_SIZE}x}"


async def copy(source: str, target: str, progress: Progress) -> Mapping[str, Contents]:
    """Copy the store at the URL `source` to the empty one at `target`; return what it holds, by
    table.

    Raises `ConfigurationError` for an unknown kind of store, `StoreUnusableError` if the source is
    in use, the target not empty, or the copy not equal, and `StoreError` if one of them fails. Then
    the target is as it was.
    """
    if source == target:
        raise StoreUnusableError("the store cannot be copied to itself")
    exported: Callable[[str], AbstractAsyncContextManager[Exported]]
    imported: Callable[[str], AbstractAsyncContextManager[Imported]]
    exported, imported = _plugin(source).exported, _plugin(target).imported
    async with exported(source) as read, imported(target) as written:
        counts = await read.counts()
        copied = {table: Contents() for table in counts}
        for table, count in counts.items():
            async for rows in _counted(read.rows(table), copied[table]):
                await written.insert(table, rows)
                progress(table, copied[table].count, count)
        await written.set_counters(await read.counters())
        await _verify(written, copied, await read.counters())
    return copied


def _plugin(url: str) -> Any:
    return plugins.load_store(url)


async def _counted(
    parts: AsyncIterator[Sequence[Row]], contents: Contents
) -> AsyncIterator[Sequence[Row]]:
    async for rows in parts:
        contents.add(rows)
        yield rows


async def _verify(written: Imported, copied: Mapping[str, Contents], counters: object) -> None:
    """Raise `StoreError` unless the target holds what the source has."""
    for table, contents in copied.items():
        arrived = Contents()
        async for _ in _counted(written.rows(table), arrived):
            pass
        if arrived != contents:
            raise StoreError(f"the copy of {table} is not equal to the original; nothing is kept")
    if await written.counters() != counters:
        raise StoreError("the counters of the copy are not equal to the original; nothing is kept")
