"""The store's file is removed or replaced under the running daemon."""

from pathlib import Path

import anyio
import httpx
import pytest

from tests.acceptance.daemon import Daemon, Site, add

pytestmark = pytest.mark.anyio

NOTICED_WITHIN = 10.0


async def test_a_store_that_is_gone_is_noticed_once_and_used_again_when_it_is_back(
    site: Site, tmp_path: Path
) -> None:
    store, aside = tmp_path / "watcher.db", tmp_path / "aside"
    site.upstream.set("task_1", "IN_PROGRESS")
    async with site.daemon() as daemon:
        await add(daemon, "task_1")
        await site.until_received("task.in_progress", 1)
        store.rename(aside)
        with anyio.fail_after(NOTICED_WITHIN):
            await site.until(lambda: about_the_file(daemon))
        assert await probed(daemon) == (200, 503, f"{store} was removed while the watcher uses it")
        site.upstream.set("task_1", "COMPLETED")
        with pytest.raises(httpx.HTTPStatusError, match="503"):
            await add(daemon, "task_2")
        status = await site.command(daemon, "status")
        assert status.returncode == 1
        assert f"events cannot be stored: {store} was removed" in status.stdout.decode()
        site.receiver.received.clear()
        assert [message.count("put it back") for message in about_the_file(daemon)] == [1]
        assert daemon.messages("error") == about_the_file(daemon)

        aside.rename(store)
        await site.until_received("task.completed", 1)
        await site.until(lambda: "the files of the store are back" in " ".join(daemon.messages()))
        with anyio.fail_after(NOTICED_WITHIN):
            while (await probed(daemon))[:2] != (200, 200):  # a result is kept for a second
                await anyio.sleep(0.1)
        aside.touch()
        aside.rename(store)
        assert await daemon.stop() == 0
    assert store.stat().st_size == 0


def about_the_file(daemon: Daemon) -> list[str]:
    return [message for message in daemon.messages() if "nothing is stored" in message]


async def probed(daemon: Daemon) -> tuple[int, int, str]:
    """Return the statuses of `/healthz` and `/readyz`, and the reason of the second."""
    async with daemon.client() as client:
        alive, ready = await client.get("/healthz"), await client.get("/readyz")
    return alive.status_code, ready.status_code, ready.json()["status"].partition(":")[0]
