"""The API under test, its daemon, and a client."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.api.harness import FakeDaemon, opened


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[tuple[FakeDaemon, httpx.AsyncClient]]:
    async with opened(tmp_path) as pair:
        yield pair


@pytest.fixture
def daemon(harness: tuple[FakeDaemon, httpx.AsyncClient]) -> FakeDaemon:
    return harness[0]


@pytest.fixture
def api(harness: tuple[FakeDaemon, httpx.AsyncClient]) -> httpx.AsyncClient:
    return harness[1]
