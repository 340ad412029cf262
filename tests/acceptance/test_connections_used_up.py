"""The daemon while PostgreSQL has no connection left for it: of the server, of the role, or of the
database.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import asyncpg
import httpx
import pytest

from tests.acceptance.daemon import PATIENCE, Site
from tests.support.postgresql import DURABLE, Server, temporary_server

pytestmark = pytest.mark.anyio

BACK_WITHIN = 5.0
END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'"
CREATED = ("CREATE ROLE app LOGIN", "CREATE DATABASE app OWNER app TEMPLATE template0")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with temporary_server(settings=(*DURABLE, "max_connections=16")) as running:
        yield running


@pytest.fixture
async def admin(server: Server) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(server.url())
    for statement in CREATED:
        await connection.execute(statement)
    yield connection
    await connection.execute("DROP DATABASE app WITH (FORCE)")
    await connection.execute("DROP ROLE app")
    await connection.close()


@asynccontextmanager
async def used_up(
    kind: str, server: Server, admin: "asyncpg.Connection[asyncpg.Record]"
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Leave no connection within; what is yielded ends those of the daemon."""
    async with AsyncExitStack() as taken:

        async def take() -> None:
            if kind != "SERVER":
                await admin.execute(f"ALTER {kind} app CONNECTION LIMIT 0")
                return
            while True:
                try:
                    one = await asyncpg.connect(server.url())
                except asyncpg.TooManyConnectionsError:
                    return
                taken.push_async_callback(one.close)

        async def end() -> None:
            while await admin.fetch(END):
                await take()

        await take()
        yield end
        if kind != "SERVER":
            await admin.execute(f"ALTER {kind} app CONNECTION LIMIT -1")


@pytest.mark.parametrize("kind", ["SERVER", "ROLE", "DATABASE"])
async def test_without_a_connection_nothing_is_lost_and_with_one_all_is_back(
    site: Site,
    server: Server,
    admin: "asyncpg.Connection[asyncpg.Record]",
    kind: str,
    tmp_path: Path,
) -> None:
    site.environ["WATCHER_STORE__URL"] = server.url("app").replace("watcher@", "app@")
    site.environ["WATCHER_SERVER__SOCKET"] = f"{tmp_path}/api"
    del site.environ["WATCHER_SERVER__PORT"]
    transport = httpx.AsyncHTTPTransport(uds=f"{tmp_path}/api")
    async with (
        anyio.create_task_group() as tasks,
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):

        async def until_ready(status: int) -> str:
            with anyio.fail_after(PATIENCE):
                while True:
                    try:
                        answer = await client.get("/readyz")
                    except httpx.TransportError:
                        continue
                    if answer.status_code == status:
                        return str(answer.json()["status"])
                    await anyio.sleep(0.05)

        async def free_it_then() -> None:
            async with used_up(kind, server, admin):
                waiting.set()
                assert "has no connection left" in await until_ready(503)

        waiting = anyio.Event()
        tasks.start_soon(free_it_then)
        await waiting.wait()
        async with site.daemon() as daemon:
            for task_id in ("task_1", "task_2"):
                site.upstream.set(task_id, "QUEUED")
            added = [{"task_id": task_id} for task_id in ("task_1", "task_2")]
            (await client.post("/v1/watches", json=added)).raise_for_status()
            await site.until_received("task.queued", 2)
            async with used_up(kind, server, admin) as end:
                site.upstream.set("task_1", "IN_PROGRESS")  # it needs no further connection
                await site.until_received("task.in_progress", 1)
                assert await until_ready(200)
                (waited,) = daemon.messages("error")
                assert "has no connection left" in waited
                await end()
                site.upstream.set("task_1", "COMPLETED")
                assert "has no connection left" in await until_ready(503)
            with anyio.fail_after(BACK_WITHIN):
                await until_ready(200)
                await site.until_received("task.completed", 1)
            assert await daemon.stop() == 0
        assert not any('"exception"' in line for line in daemon.log)
        reasons = ("has no connection left", "cannot reach")
        assert all(any(one in said for one in reasons) for said in daemon.messages("error"))
    assert site.sequences() == {"task_1": [1, 2, 3], "task_2": [1]}
