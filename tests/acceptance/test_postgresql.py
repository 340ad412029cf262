"""The daemon on a PostgreSQL server, which is stopped and started again under way."""

from collections.abc import Iterator

import anyio
import pytest

from tests.acceptance.daemon import Site, add
from tests.support.postgresql import DURABLE, Server, temporary_server

pytestmark = pytest.mark.anyio


@pytest.fixture
def server() -> Iterator[Server]:
    with temporary_server(settings=DURABLE) as running:
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
