"""A real store in virtual time, and stores on a slow and on a full disk."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio

from tests.support.virtual_time import outside, wall
from watcher.core.errors import StoreError
from watcher.core.events import SystemEventFactory, system_event_factory
from watcher.core.routing import Routing
from watcher.stores.sqlite import store as sqlite
from watcher.stores.sqlite.store import SqliteStore


@asynccontextmanager
async def opened(folder: Path, **options: Any) -> AsyncIterator[SqliteStore]:
    """The store in `folder`; opening and closing it takes no virtual time."""
    with outside():
        opening = sqlite.create(f"sqlite:///{folder}/watcher.db", wall=wall, **options)
        store = await opening.__aenter__()
    try:
        yield store
    finally:
        with outside():
            await opening.__aexit__(None, None, None)


def system_events(routing: Routing) -> SystemEventFactory:
    return system_event_factory(routing.for_system_event)


class SlowDisk:
    """A store whose `record` waits until `free` is set."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.free = anyio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def record(self, changes: Iterable[Any]) -> Any:
        await self.free.wait()
        return await self._store.record(changes)


class FullDisk:
    """A store whose `record` and `settle` raise `StoreError` while `full`."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.full = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def record(self, changes: Iterable[Any]) -> Any:
        return await self._write(self._store.record, changes)

    async def settle(self, results: Iterable[Any]) -> Any:
        return await self._write(self._store.settle, results)

    async def _write(self, operation: Any, items: Iterable[Any]) -> Any:
        if self.full:
            raise StoreError("the disk is full: nothing was stored")
        return await operation(items)
