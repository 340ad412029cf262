"""Shared by the tests of the SQLite store."""

import pytest

from watcher.core.errors import StoreUnusableError
from watcher.core.tasks import WatchFilter
from watcher.stores.sqlite import store as sqlite
from watcher.stores.sqlite.store import SqliteStore

NOW = 1000.0


async def opening_error(url: str) -> str:
    """Open the store, which must fail with one line of text; return it."""
    with pytest.raises(StoreUnusableError) as caught:
        async with sqlite.create(url):
            pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


async def task_ids(store: SqliteStore) -> set[str]:
    page, _ = await store.list_watches(WatchFilter(), 1000, None)
    return {watch.key.task_id for watch in page}
