"""What the daemon logs when it starts, and when it ends."""

import pytest

from tests.acceptance.daemon import Daemon, Site, add
from watcher import __version__

pytestmark = pytest.mark.anyio


def line_of_source(daemon: Daemon) -> list[str]:
    return [text for text in daemon.messages() if text.startswith("source 'mixpeek' at ")]


async def test_version_channels_store_sources_and_a_last_line(site: Site) -> None:
    base_url = site.environ["MIXPEEK_BASE_URL"]
    path = site.environ["WATCHER_STORE__URL"].removeprefix("sqlite:///")
    async with site.daemon() as daemon:
        await site.until(lambda: line_of_source(daemon))
        assert await daemon.stop() == 0
    messages = daemon.messages("info")
    assert f"watcher {__version__}" in messages
    assert f"the live page is at {daemon.url}/" in messages
    assert "channel 'backend' (webhook): every event (first statuses too)" in messages
    assert f"store {path}: 0 active and 0 ended watches" in messages
    assert line_of_source(daemon) == [f"source 'mixpeek' at {base_url}: key accepted"]
    assert messages[-1] == "stopped"


async def test_the_store_line_counts_the_watches_of_the_run_before(site: Site) -> None:
    site.upstream.set("task_1", "PENDING")
    site.upstream.set("task_2", "COMPLETED")
    async with site.daemon() as daemon:
        await add(daemon, "task_1", "task_2")
        await site.until_received("task.completed", 1)
        assert await daemon.stop() == 0
    async with site.daemon() as daemon:
        await site.until(lambda: any("1 active and 1 ended" in text for text in daemon.messages()))
        assert await daemon.stop() == 0


async def test_a_wrong_key_is_named_and_ends_nothing(site: Site) -> None:
    async with site.daemon(MIXPEEK_API_KEY="sk_wrong") as daemon:
        await site.until(lambda: line_of_source(daemon))
        assert "key" in line_of_source(daemon)[0]
        assert "accepted" not in line_of_source(daemon)[0]
        assert await daemon.stop() == 0
    assert daemon.messages("info")[-1] == "stopped"


async def test_an_upstream_that_never_answers_delays_neither_start_nor_end(site: Site) -> None:
    async with site.daemon(MIXPEEK_BASE_URL="http://127.0.0.1:9") as daemon:
        await add(daemon, "task_1")
        assert await daemon.stop() == 0
    assert daemon.messages("info")[-1] == "stopped"


async def test_the_page_is_where_people_reach_it(site: Site) -> None:
    async with site.daemon(WATCHER_SERVER__EXTERNAL_URL="https://ops.example/watcher/") as daemon:
        assert await daemon.stop() == 0
    assert "the live page is at https://ops.example/watcher/" in daemon.messages("info")
