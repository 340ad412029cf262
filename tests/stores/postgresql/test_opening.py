"""What happens when a database is opened: rejections end it, and what may pass is waited for."""

from pathlib import Path

import asyncpg
import pytest

from tests.support.postgresql import Server
from watcher.core.errors import StoreError, StoreUnusableError
from watcher.core.ownership import Member
from watcher.core.settings import StoreSettings
from watcher.stores import postgresql

pytestmark = pytest.mark.anyio


async def opening_error(url: str) -> StoreError:
    with pytest.raises(StoreError) as caught:
        async with postgresql.create(url):
            pass
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        (("/postgres?", "/missing?"), 'rejects the connection: database "missing" does not exist'),
        (("watcher@", "guest:hidden@"), 'rejects the connection: role "guest" does not exist'),
        (("/postgres?", "/?"), "invalid store.url: expected one such as postgresql://"),
        (("/postgres?", "/postgres?sslmode=what&"), "invalid store.url: "),
        (("/postgres?", "/postgres?whatever=1&"), "rejects the connection: unrecognized conf"),
        (("/postgres?", "/postgres?fsync=off&"), 'rejects the connection: parameter "fsync" can'),
        (("/postgres?", "/postgres?work_mem=x&"), "rejects the connection: invalid value for"),
    ],
)
async def test_what_no_wait_helps_is_final(
    postgresql_server: Server, changed: tuple[str, str], text: str
) -> None:
    error = await opening_error(postgresql_server.url().replace(*changed))
    assert isinstance(error, StoreUnusableError)
    assert text in str(error)
    assert "hidden" not in str(error)


async def test_the_scheme_of_hosting_providers_opens_the_same_database(
    postgresql_server: Server,
) -> None:
    url = await postgresql_server.new_store()
    async with postgresql.create(url.replace("postgresql://", "postgres://")) as store:
        assert await store.outbox() == []


async def test_a_server_that_is_away_may_come_back(tmp_path: Path) -> None:
    error = await opening_error(f"postgresql://watcher:hidden@/db?host={tmp_path}")
    assert not isinstance(error, StoreUnusableError)
    assert str(error).startswith("cannot reach postgresql:///db (")


async def test_a_database_without_unicode_is_rejected(postgresql_server: Server) -> None:
    connection = await asyncpg.connect(postgresql_server.url())
    await connection.execute(
        "CREATE DATABASE bytes ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0"
    )
    await connection.close()
    error = await opening_error(postgresql_server.url("bytes"))
    assert isinstance(error, StoreUnusableError)
    assert "has the encoding SQL_ASCII" in str(error)


async def test_replicas_are_rejected_while_a_process_needs_the_database_for_itself(
    postgresql_server: Server,
) -> None:
    url = await postgresql_server.new_store()
    async with postgresql.exported(url):
        error = await opening_error(url)
        assert isinstance(error, StoreUnusableError)
        assert str(error).startswith("another process has postgresql:///test_")
    async with postgresql.create(url), postgresql.create(url):
        pass


async def test_a_process_that_needs_the_database_for_itself_is_rejected_while_replicas_run(
    postgresql_server: Server,
) -> None:
    url = await postgresql_server.new_store()
    async with postgresql.create(url) as replica:
        member = Member(name="one", version="1", started_at=0.0)
        await replica.renew(member, [], 0.0)
        with pytest.raises(StoreUnusableError, match="1 watcher uses postgresql:///test_"):
            async with postgresql.exported(url):
                pass
        await replica.leave()
        async with postgresql.exported(url):
            with pytest.raises(StoreUnusableError, match="another process has"):
                async with postgresql.exported(url):
                    pass


def test_a_limit_of_the_size_is_an_error() -> None:
    url = "postgresql://watcher@database/watcher"
    assert [*postgresql.faults(StoreSettings(url=url))] == []
    ((key, text),) = postgresql.faults(StoreSettings(url=url, max_size=2**30))
    assert (key, text) == ("max_size", "only a SQLite store has a limit of its own; remove it")
    ((key, _),) = postgresql.faults(StoreSettings(url="postgresql://watcher@database"))
    assert key == "url"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:hidden@h:5433/db?password=hidden", "postgresql://h:5433/db"),
        ("postgresql://me@one,two/db", "postgresql://one,two/db"),
        ("postgresql://me@[::1]/db", "postgresql://[::1]/db"),
    ],
)
def test_a_url_is_shown_without_its_user(url: str, shown: str) -> None:
    assert postgresql.shown(url) == shown
