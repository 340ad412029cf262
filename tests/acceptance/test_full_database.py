"""The daemon while the disk of its PostgreSQL server is full."""

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from tests.acceptance.daemon import PATIENCE, Daemon, Site, add
from tests.support.postgresql import Server
from tests.support.small_disk import fill, mounted

pytestmark = pytest.mark.anyio


@pytest.fixture
def disk(postgresql_server: Server) -> Iterator[Path]:
    """A small file system, for tables; only root can mount one."""
    folder = postgresql_server.new_folder("disk")
    with mounted(folder, size="24m", mode="0777") as small:
        yield small


async def readiness(daemon: Daemon) -> tuple[int, str]:
    async with daemon.client() as client:
        response = await client.get("/readyz")
        return response.status_code, str(response.json()["status"])


async def until_ready(daemon: Daemon, status: int) -> str:
    with anyio.fail_after(PATIENCE):
        while (shown := await readiness(daemon))[0] != status:
            await anyio.sleep(0.05)
    return shown[1]


async def test_a_full_disk_is_not_ready_until_there_is_room_and_loses_nothing(
    site: Site, postgresql_server: Server, disk: Path
) -> None:
    tables = postgresql_server.new_folder(f"{disk.name}/tables")
    site.environ["WATCHER_STORE__URL"] = await postgresql_server.new_store_in(tables)
    async with site.daemon() as daemon:
        site.upstream.set("task_1", "QUEUED")
        await add(daemon, "task_1")
        await site.until_received("task.queued", 1)
        ballast = fill(disk)
        batch, status = 0, 201
        async with daemon.client() as client:
            while status == 201:
                batch += 1
                entries = [{"task_id": f"{'x' * 200}-{batch}-{number}"} for number in range(500)]
                status = (await client.post("/v1/watches", json=entries)).status_code
        assert status == 503
        for step in ("IN_PROGRESS", "PROCESSING", "COMPLETED"):
            site.upstream.set("task_1", step)
            assert "has no space left" in await until_ready(daemon, 503)
            for _ in range(5):
                assert (await readiness(daemon))[0] == 503
                await anyio.sleep(0.2)
        ballast.unlink()
        with anyio.fail_after(30):
            await until_ready(daemon, 200)
        await site.until_received("task.completed", 1)
        assert await daemon.stop() == 0
    numbers = site.sequences()["task_1"]
    assert numbers == list(range(1, len(numbers) + 1))
