"""The store under test: one of every implementation in `watcher/stores`."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.stores.harness import STORES, new_store, opened
from watcher.core.interfaces.store import Store


@pytest.fixture(params=STORES)
async def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store, of each implementation and each PostgreSQL."""
    return await new_store(request.param, tmp_path, request)


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    async with opened(store_url) as opened_store:
        yield opened_store
