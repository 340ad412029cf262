"""What the tests of the PostgreSQL store share: a store in a database of its own."""

from collections.abc import AsyncIterator

import pytest

from tests.support.postgresql import Server
from watcher.stores import postgresql
from watcher.stores.postgresql.store import PostgresqlStore


@pytest.fixture
async def url(postgresql_server: Server) -> str:
    return await postgresql_server.new_store()


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresqlStore]:
    async with postgresql.create(url) as opened:
        yield opened
