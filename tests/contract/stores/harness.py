"""Shared by the contract tests of stores."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pytest

from tests.support.postgresql import Server, programs
from tests.support.records import KEY, request, step
from watcher.configuration import plugins
from watcher.core.interfaces.store import Outbox, Store, Watchlist
from watcher.core.tasks import Watch

OLDEST = "oldest postgresql"
STORES = [*plugins.names("stores"), *([OLDEST] if len(programs()) > 1 else ())]
NOW = 1000.0
FOREVER = 10_000_000.0


async def new_store(name: str, folder: Path, request: pytest.FixtureRequest) -> str:
    """The URL of an empty store of the implementation `name`; one in files is in `folder`."""
    if name == "sqlite":
        return f"sqlite:///{folder}/watcher.db"
    oldest = "oldest_" if name == OLDEST else ""
    server: Server = request.getfixturevalue(f"{oldest}postgresql_server")
    return await server.new_store()


def opened(url: str, **options: Any) -> AbstractAsyncContextManager[Store]:
    """The store at `url`."""
    create = plugins.load("stores", urlsplit(url).scheme).create
    return cast("AbstractAsyncContextManager[Store]", create(url, **options))


async def add_watch(store: Watchlist, task_id: str = KEY.task_id, **labels: str) -> Watch:
    return (await store.add([request(task_id, **labels)], NOW)).watches[0]


async def due_ids(store: Outbox, channel: str = "backend") -> list[int]:
    """The IDs of all deliveries that are ever due, in their order."""
    return [delivery.id for delivery in await store.due(channel, FOREVER, 1000)]


async def queue_of(store: Store, count: int, task_id: str = KEY.task_id) -> Watch:
    """A queue of `count` deliveries of one task to `backend`; return its watch."""
    watch = await add_watch(store, task_id)
    for _ in range(count):
        change = step(watch, "IN_PROGRESS")
        await store.record([change])
        watch = change.watch
    return watch
