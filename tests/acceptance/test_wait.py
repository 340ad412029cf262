"""`watcher wait` as a process."""

import json
import subprocess

import anyio
import pytest

from tests.acceptance.daemon import Site

pytestmark = pytest.mark.anyio


async def test_wait_survives_a_restart_of_the_daemon(site: Site) -> None:
    site.upstream.set("task_1", "IN_PROGRESS")
    port = "0"
    async with anyio.create_task_group() as tasks:
        results: list[subprocess.CompletedProcess[bytes]] = []
        async with site.daemon() as daemon:
            port = daemon.url.rpartition(":")[2]

            async def wait() -> None:
                results.append(
                    await site.command(daemon, "wait", "task_1", "--timeout", "40s", "--json")
                )

            tasks.start_soon(wait)
            await site.until(lambda: site.event_types() == ["task.in_progress"])
            daemon.process.kill()
            await daemon.ended()
        site.upstream.set("task_1", "COMPLETED_WITH_ERRORS")
        async with site.daemon(WATCHER_SERVER__PORT=port):
            await site.until(lambda: results)

    assert results[0].returncode == 3
    assert json.loads(results[0].stdout) == [
        {"task_id": "task_1", "status": "COMPLETED_WITH_ERRORS"}
    ]


async def test_exit_codes_of_wait(site: Site) -> None:
    site.upstream.set("task_1", "COMPLETED")
    site.upstream.set("task_2", "IN_PROGRESS")
    async with site.daemon() as daemon:
        exit_codes = {
            "completed": (await site.command(daemon, "wait", "task_1")).returncode,
            "timed out": (
                await site.command(daemon, "wait", "task_1", "task_2", "--timeout", "300ms")
            ).returncode,
            "rejected": (await site.command(daemon, "wait", "a/b")).returncode,
        }
    exit_codes["no daemon"] = (await site.command(daemon, "wait", "task_1")).returncode
    assert exit_codes == {"completed": 0, "timed out": 124, "rejected": 4, "no daemon": 4}
