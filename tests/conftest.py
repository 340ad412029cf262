"""What every test shares: the asyncio backend alone, for the daemon's HTTP libraries know no
other; no limit of wall-clock time for one example, because other processes may take it; and no
secrets of other tests, which would be masked in what this one shows.
"""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.pooler import left_behind, pooled
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


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pooler", help="a PgBouncer, through which tests reach PostgreSQL")


@pytest.fixture(scope="session")
def pooler(request: pytest.FixtureRequest) -> str | None:
    """The program of a pooler, through which clients shall reach PostgreSQL."""
    program: str | None = request.config.getoption("--pooler")
    return program


@pytest.fixture(scope="session")
def postgresql_server(pooler: str | None) -> Iterator[Server]:
    """One server for all tests of a worker; each test has its own database."""
    with temporary_server() as server, pooled(server, pooler):
        yield server


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest, pooler: str | None) -> Iterator[None]:
    """Behind a pooler a test may leave nothing at a connection, which another client gets next."""
    yield
    if pooler is not None and "postgresql_server" in request.fixturenames:
        left = asyncio.run(left_behind(request.getfixturevalue("postgresql_server")))
        assert not left, f"left behind at connections: {left}"


@pytest.fixture(scope="session")
def oldest_postgresql_server() -> Iterator[Server]:
    """A server of the oldest PostgreSQL at hand: Debian's, which CI installs."""
    with temporary_server(programs()[-1]) as server:
        yield server
