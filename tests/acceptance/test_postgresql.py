"""The daemon on a PostgreSQL server, which is stopped and started again under way."""

from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from tests.acceptance.daemon import PATIENCE, Daemon, Site, add
from tests.support.pooler import pooled
from tests.support.postgresql import DURABLE, Server, temporary_server

pytestmark = pytest.mark.anyio


@pytest.fixture
def server(pooler: str | None) -> Iterator[Server]:
    with temporary_server(settings=DURABLE) as running, pooled(running, pooler):
        yield running


async def test_a_server_that_was_away_loses_nothing(site: Site, server: Server) -> None:
    site.environ["WATCHER_STORE__URL"] = await server.new_store()
    async with site.daemon() as daemon:
        for task_id in ("task_1", "task_2"):
            site.upstream.set(task_id, "IN_PROGRESS")
        await add(daemon, "task_1", "task_2")
        await site.until_received("task.in_progress", 2)
        await anyio.to_thread.run_sync(server.stop)
        site.upstream.set("task_1", "COMPLETED")
        await anyio.to_thread.run_sync(server.start)
        await site.until_received("task.completed", 1)
        site.upstream.set("task_2", "FAILED")
        await site.until_received("task.failed", 1)
        assert await daemon.stop() == 0
    assert site.sequences() == {"task_1": [1, 2], "task_2": [1, 2]}


async def status(daemon: Daemon) -> dict[str, Any]:
    async with daemon.client() as client:
        found: dict[str, Any] = (await client.get("/v1/status")).json()
        return found


async def replicas(daemon: Daemon) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await status(daemon))["replicas"]
    return found


async def until_active(daemon: Daemon, **expected: int) -> None:
    """Wait until the status at a replica shows what the owner has reported."""
    with anyio.fail_after(PATIENCE):
        while (await status(daemon))["watches"] != expected:
            await anyio.sleep(0.1)


async def test_what_one_replica_is_given_another_serves_and_takes_over(
    site: Site, server: Server
) -> None:
    site.environ["WATCHER_STORE__URL"] = await server.new_store()
    for task_id in ("task_1", "task_2"):
        site.upstream.set(task_id, "IN_PROGRESS")
    async with site.daemon() as owner, site.daemon() as other:
        await add(other, "task_1", "task_2")  # the first replica has everything for some seconds
        await site.until_received("task.in_progress", 2)
        assert (await site.json(other, "show", "task_1"))["status"] == "IN_PROGRESS"
        for daemon in (owner, other):
            await until_active(daemon, IN_PROGRESS=2)
            (source,) = (await status(daemon))["sources"]
            assert source["active_watches"] == 2
            assert source["last_success_at"] is not None
        assert len(await replicas(other)) == 2
        paused = await site.command(owner, "channels", "pause", "backend")
        assert paused.returncode == 0
        async with other.client() as client:
            (channel,) = (await client.get("/v1/channels")).json()["items"]
        assert channel["state"] == "paused"
        assert (await site.command(other, "channels", "resume", "backend")).returncode == 0
        site.upstream.set("task_1", "COMPLETED")
        await site.until_received("task.completed", 1)

        owner.process.kill()
        await owner.ended()
        site.upstream.set("task_2", "FAILED")
        await site.until_received("task.failed", 1)
        (replica,) = await replicas(other)
        assert replica["units"] == 5
        assert await other.stop() == 0
    assert site.sequences() == {"task_1": [1, 2], "task_2": [1, 2]}
