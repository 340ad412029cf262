"""What every test shares: the asyncio backend alone, for the daemon's HTTP libraries know no
other; no limit of wall-clock time for one example, because other processes may take it; and no
secrets of other tests, which would be masked in what this one shows.
"""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.postgresql import Server, programs, temporary_server
from tests.support.secrets import own_secrets

settings.register_profile("watcher", deadline=None)
settings.load_profile("watcher")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def secrets() -> Iterator[None]:
    with own_secrets():
        yield


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Server]:
    """One server for all tests of a worker; each test has its own database."""
    with temporary_server() as server:
        yield server


@pytest.fixture(scope="session")
def oldest_postgresql_server() -> Iterator[Server]:
    """A server of the oldest PostgreSQL at hand: Debian's, which CI installs."""
    with temporary_server(programs()[-1]) as server:
        yield server
