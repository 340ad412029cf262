"""A site for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.acceptance.daemon import Site, site_in


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with site_in(tmp_path) as site:
        yield site
