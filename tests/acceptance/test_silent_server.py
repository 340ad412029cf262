"""The daemon while its PostgreSQL server is silent, and after it."""

import anyio
import pytest

from tests.acceptance.daemon import PATIENCE, Daemon, Site, add
from tests.support.postgresql import Server, database_of
from tests.support.relay import HELD, RESPONSES, relay_to

pytestmark = pytest.mark.anyio

SILENT = 4.0
TASKS = ("task_1", "task_2")


async def until_ready(daemon: Daemon, status: int) -> str:
    async with daemon.client() as client:
        with anyio.fail_after(PATIENCE):
            while (response := await client.get("/readyz")).status_code != status:
                await anyio.sleep(0.05)
        return str(response.json()["status"])


@pytest.mark.parametrize("lost", [HELD, RESPONSES])
async def test_a_silent_server_is_noticed_and_nothing_is_lost_or_doubled(
    site: Site, postgresql_server: Server, lost: str
) -> None:
    url = await postgresql_server.new_store()
    async with relay_to(postgresql_server) as relay:
        site.environ["WATCHER_STORE__URL"] = relay.url(database_of(url))
        for task_id in TASKS:
            site.upstream.set(task_id, "IN_PROGRESS")
        async with site.daemon() as daemon:
            await add(daemon, *TASKS)
            await site.until_received("task.in_progress", 2)
            with relay.losing(lost):
                site.upstream.set("task_1", "COMPLETED")
                began = anyio.current_time()
                reason = await until_ready(daemon, 503)
                assert "respond" in reason
                assert anyio.current_time() - began < SILENT
                await anyio.sleep_until(began + SILENT)
                site.upstream.set("task_2", "FAILED")
            await until_ready(daemon, 200)
            await site.until_received("task.completed", 1)
            await site.until_received("task.failed", 1)
            assert await daemon.stop() == 0
    assert site.sequences() == {"task_1": [1, 2], "task_2": [1, 2]}
