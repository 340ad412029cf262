"""The daemon on a disk that is full: a small file system, which only root can mount."""

from collections.abc import Iterator
from pathlib import Path

import anyio
import httpx
import pytest

from tests.acceptance.daemon import Site
from tests.support.small_disk import fill, mounted

pytestmark = pytest.mark.anyio

MIB = 1024**2


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    with mounted(folder, size="8m", mode="0700") as small:
        yield small


async def test_a_start_on_a_full_disk_waits_and_a_full_disk_is_not_ready(
    site: Site, disk: Path, tmp_path: Path
) -> None:
    ballast = fill(disk)
    del site.environ["WATCHER_SERVER__PORT"]
    environ = {
        "WATCHER_STORE__URL": f"sqlite:///{disk}/watcher.db",
        "WATCHER_SERVER__SOCKET": f"{tmp_path}/api",
    }
    transport = httpx.AsyncHTTPTransport(uds=f"{tmp_path}/api")
    async with (
        anyio.create_task_group() as tasks,
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):

        async def status_of(path: str) -> tuple[int, str]:
            try:
                answer = await client.get(path)
            except httpx.TransportError:
                return 0, ""
            return answer.status_code, answer.json()["status"]

        async def until_ready() -> None:
            while (await status_of("/readyz"))[0] != 503:
                await anyio.sleep(0.05)
            assert (await status_of("/healthz"))[0] == 200
            assert "has no space" in (await status_of("/readyz"))[1]
            assert (await client.get("/v1/watches")).status_code == 503
            ballast.unlink()

        tasks.start_soon(until_ready)
        async with site.daemon(**environ) as daemon:
            assert ["waiting until" in line for line in daemon.messages("error")] == [True]
            assert (await status_of("/readyz"))[0] == 200
            metrics = (await client.get("/metrics")).text
            (limit,) = [
                float(line.split()[1])
                for line in metrics.splitlines()
                if line.startswith("watcher_store_limit_bytes ")
            ]
            assert 6 * MIB < limit <= 0.9 * 8 * MIB
            ballast = fill(disk)
            batch, last = 0, 201
            while (await status_of("/readyz"))[0] != 503:
                batch += 1
                entries = [{"task_id": f"{'x' * 200}-{batch}-{number}"} for number in range(100)]
                last = (await client.post("/v1/watches", json=entries)).status_code
            assert last == 503
            assert "has no space" in (await status_of("/readyz"))[1]
            assert (await status_of("/healthz"))[0] == 200
            ballast.unlink()
            while (await status_of("/readyz"))[0] != 200:
                await anyio.sleep(0.1)
            assert await daemon.stop() == 0
