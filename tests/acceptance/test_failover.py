"""The daemon while its PostgreSQL server fails over to a standby that the URL names, too."""

import anyio
import pytest

from tests.acceptance.daemon import Site, add
from tests.support.postgresql import DURABLE, temporary_server
from tests.support.relay import REQUESTS, RESPONSES, relay_to

pytestmark = pytest.mark.anyio


async def test_what_is_stored_at_a_silent_primary_continues_at_its_promoted_standby(
    site: Site,
) -> None:
    with (
        temporary_server(settings=DURABLE) as primary,
        primary.standby(primary.folder.parent / "b") as standby,
    ):
        name = await primary.create_database()
        async with relay_to(primary) as first, relay_to(standby) as second:
            hosts = f"127.0.0.1:{first.port},127.0.0.1:{second.port}"
            site.environ["WATCHER_STORE__URL"] = f"postgresql://watcher@{hosts}/{name}"
            for task_id in ("task_1", "task_2"):
                site.upstream.set(task_id, "IN_PROGRESS")
            async with site.daemon() as daemon:
                await add(daemon, "task_1", "task_2")
                await site.until_received("task.in_progress", 2)
                with first.losing(REQUESTS, RESPONSES):
                    await anyio.to_thread.run_sync(standby.control, "promote")
                    site.upstream.set("task_1", "COMPLETED")
                    await site.until_received("task.completed", 1)
                    site.upstream.set("task_2", "FAILED")
                    await site.until_received("task.failed", 1)
                    assert await daemon.stop() == 0
    assert site.sequences() == {"task_1": [1, 2], "task_2": [1, 2]}
