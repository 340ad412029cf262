"""The daemon while there is no room for PostgreSQL's write-ahead log: the server ends, and cannot
start again until there is.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import anyio
import asyncpg
import pytest

from tests.acceptance.daemon import PATIENCE, Daemon, Site, add
from tests.support.postgresql import DURABLE, Server, temporary_server
from tests.support.small_disk import fill, mounted

pytestmark = pytest.mark.anyio

FILL_A_SEGMENT = "SELECT pg_logical_emit_message(false, 'x', 'x'), pg_switch_wal()"
SETTINGS = (*DURABLE, "min_wal_size=32MB", "max_wal_size=32MB")


@pytest.fixture
def server() -> Iterator[Server]:
    with temporary_server(settings=SETTINGS) as running:
        yield running


@pytest.fixture
def disk(server: Server) -> Iterator[Path]:
    """A small file system, for the log alone; only root can mount one."""
    with mounted(server.new_folder("disk"), size="64m", mode="0777") as small:
        server.move_wal(small / "wal")
        yield small


async def until_ready(daemon: Daemon, status: int) -> str:
    async with daemon.client() as client:
        with anyio.fail_after(PATIENCE):
            while (response := await client.get("/readyz")).status_code != status:
                await anyio.sleep(0.05)
        return str(response.json()["status"])


async def write_until_the_server_has_ended(server: Server) -> None:
    with anyio.fail_after(PATIENCE):
        while await anyio.Path(server.socket).exists():
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                admin = await asyncpg.connect(server.url())
                while True:
                    await admin.execute(FILL_A_SEGMENT)


async def test_without_room_for_the_log_nothing_is_lost(
    site: Site, server: Server, disk: Path
) -> None:
    site.environ["WATCHER_STORE__URL"] = await server.new_store()
    for task_id in ("task_1", "task_2"):
        site.upstream.set(task_id, "IN_PROGRESS")
    async with site.daemon() as daemon:
        await add(daemon, "task_1", "task_2")
        await site.until_received("task.in_progress", 2)
        ballast = fill(disk)
        await write_until_the_server_has_ended(server)
        site.upstream.set("task_1", "COMPLETED")
        assert "cannot reach" in await until_ready(daemon, 503)
        ballast.unlink()
        await anyio.to_thread.run_sync(server.start)
        with anyio.fail_after(5.0):
            await until_ready(daemon, 200)
        await site.until_received("task.completed", 1)
        site.upstream.set("task_2", "FAILED")
        await site.until_received("task.failed", 1)
        assert await daemon.stop() == 0
    assert site.sequences() == {"task_1": [1, 2], "task_2": [1, 2]}
