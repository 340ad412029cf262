"""What every test shares: the asyncio backend alone, for the daemon's HTTP libraries know no
other.
"""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
