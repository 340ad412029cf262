"""What every test shares: the asyncio backend alone, for the daemon's HTTP libraries know no
other; and no limit of wall-clock time for one example, because other processes may take it.
"""

import pytest
from hypothesis import settings

settings.register_profile("watcher", deadline=None)
settings.load_profile("watcher")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
