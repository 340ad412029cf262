"""The store under test: one of every implementation in `watcher/stores`."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.stores.harness import opened
from watcher.configuration import plugins
from watcher.core.interfaces.store import Store


@pytest.fixture(params=plugins.names("stores"))
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with opened(request.param, tmp_path) as opened_store:
        yield opened_store
