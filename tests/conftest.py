"""What every test shares: the asyncio backend alone, for the daemon's HTTP libraries know no
other; no limit of wall-clock time for one example, because other processes may take it; and no
secrets of other tests, which would be masked in what this one shows.
"""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from watcher.core.masking import SECRETS

settings.register_profile("watcher", deadline=None)
settings.load_profile("watcher")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def own_secrets() -> Iterator[None]:
    """Mask nothing further once the test has ended."""
    before = dict(vars(SECRETS))
    yield
    vars(SECRETS).update(before)
