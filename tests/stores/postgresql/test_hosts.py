"""A URL that names several hosts, of which some are away, silent, or reject writes."""

import socket
from collections.abc import AsyncIterator

import anyio
import anyio.lowlevel
import asyncpg
import pytest

from tests.support.postgresql import Server
from tests.support.relay import REQUESTS, RESPONSES, Relay, relay_to
from watcher.core.errors import StoreError
from watcher.stores import postgresql
from watcher.stores.postgresql.hosts import Connector

pytestmark = pytest.mark.anyio


@pytest.fixture
async def hosts(postgresql_server: Server) -> AsyncIterator[tuple[Relay, Relay]]:
    """Two ways to one server."""
    async with relay_to(postgresql_server) as first, relay_to(postgresql_server) as second:
        yield first, second


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def url_of(*ports: int, database: str = "postgres") -> str:
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    return f"postgresql://watcher@{hosts}/{database}"


async def test_a_host_that_is_away_or_silent_does_not_delay_the_others(
    hosts: tuple[Relay, Relay], closed_port: int
) -> None:
    first, second = hosts
    connect = Connector(url_of(closed_port, first.port, second.port))
    tried = 0
    with first.losing(REQUESTS, RESPONSES):
        for _ in range(2):
            tried = first.connections
            connection = await connect(timeout=30.0)
            assert await connection.fetchval("SELECT 1") == 1
            await connection.close()
    assert tried > 0
    assert first.connections == tried, "the host that worked last is tried first"


@pytest.mark.parametrize("ports", ["{first},{second}", "{second}"])
async def test_hosts_may_be_options_of_the_url(hosts: tuple[Relay, Relay], ports: str) -> None:
    first, second = hosts
    chosen = ports.format(first=first.port, second=second.port)
    url = f"postgresql://watcher@/postgres?host=127.0.0.1,127.0.0.1&port={chosen}"
    with first.losing(REQUESTS, RESPONSES):
        connection = await Connector(url)(timeout=30.0)
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
    assert second.connections >= 1


async def test_an_attempt_whose_packets_were_lost_is_not_waited_for(
    hosts: tuple[Relay, Relay],
) -> None:
    relay, _ = hosts
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            with relay.losing(REQUESTS):
                tasks.start_soon(_connect_once, relay)
                while relay.connections < 2:
                    await anyio.lowlevel.checkpoint()


async def test_a_server_that_is_slow_is_waited_for(
    hosts: tuple[Relay, Relay], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.stores.postgresql.hosts._NEXT_AFTER", 1e-6)  # too short for any
    await _connect_once(hosts[0])


async def _connect_once(relay: Relay) -> None:
    connection = await Connector(relay.url("postgres"))(timeout=30.0)
    await connection.close()


async def test_without_any_host_the_error_is_one_line(closed_port: int) -> None:
    expected = r"cannot reach postgresql://127.0.0.1:\d+,127.0.0.1:\d+/postgres \("
    with pytest.raises(StoreError, match=expected) as caught:
        async with postgresql.create(url_of(closed_port, closed_port)):
            pass
    assert "\n" not in str(caught.value)


async def test_of_several_hosts_only_one_that_accepts_writes_is_used_unless_the_url_says_so(
    postgresql_server: Server, hosts: tuple[Relay, Relay]
) -> None:
    name = await postgresql_server.create_database()
    admin = await asyncpg.connect(postgresql_server.url())
    await admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await admin.close()
    url = url_of(*(one.port for one in hosts), database=name)
    with pytest.raises(StoreError, match="no host accepts writes"):
        async with postgresql.create(url):
            pass
    connection = await Connector(f"{url}?target_session_attrs=any")()
    await connection.close()
