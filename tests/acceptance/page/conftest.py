"""One browser for all tests of a module: its start takes longer than most of them."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser

from tests.acceptance.page.site import chromium


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser
