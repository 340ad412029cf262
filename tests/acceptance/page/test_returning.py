"""A page that was away: its daemon was upgraded, its computer slept, its tab was hidden or left."""

from pathlib import Path

import anyio
import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.acceptance.daemon import PATIENCE, Daemon, Site
from tests.acceptance.page.proxy import PREFIX, proxied
from tests.acceptance.page.site import HIDEABLE, chromium, filled, prepared
from tests.acceptance.page.test_live import is_same, opened
from tests.shipped.tools import free_port
from tests.support.page_story import MOVING_TASK

pytestmark = pytest.mark.anyio

NEXT = "99.0"
_UPGRADE = f"import watcher\nwatcher.__version__ = {NEXT!r}\n"


def upgrade(site: Site, folder: Path) -> None:
    """Let the next daemon of the site be of another version."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(_UPGRADE)
    site.environ["PYTHONPATH"] = str(folder)


def loads_of(page: Page) -> list[str]:
    """Return the list to which the address of each load of the page is added."""
    urls: list[str] = []
    page.on("load", lambda loaded: urls.append(loaded.url))
    return urls


async def until_stored(site: Site, daemon: Daemon, status: str) -> None:
    """Let the moving task have this status, and wait until the daemon knows."""
    site.upstream.set(MOVING_TASK, status)
    async with daemon.client() as client:
        with anyio.fail_after(PATIENCE):
            while (await client.get(f"/v1/watches/{MOVING_TASK}")).json()["status"] != status:
                await anyio.sleep(0.05)


async def test_an_upgrade_loads_a_page_once_but_not_below_a_half_written_text(
    browser: Browser, tmp_path: Path
) -> None:
    async with prepared(tmp_path) as site, await browser.new_context() as context:
        site.environ["WATCHER_SERVER__PORT"] = str(free_port())
        task, search = await context.new_page(), await context.new_page()
        async with site.daemon() as daemon:
            await opened(task, f"{daemon.url}/tasks/{MOVING_TASK}")
            await opened(search, f"{daemon.url}/tasks")
            await search.fill("#q", "half of an")
            loads = loads_of(task)
            await daemon.stop()
        upgrade(site, tmp_path / "next")
        async with site.daemon() as daemon:
            await expect(task.locator("footer")).to_contain_text(f"watcher {NEXT}")
            await expect(task.locator("#state")).to_have_text("Live")
            await until_stored(site, daemon, "PROCESSING")
            await expect(task.locator("h1")).to_have_text("Processing")
            assert len(loads) == 1

            await expect(search.locator("#offline")).to_be_hidden()
            assert await is_same(search)
            assert await search.input_value("#q") == "half of an"
            await search.fill("#q", "")
            await search.keyboard.press("Tab")
            await expect(search.locator("footer")).to_contain_text(f"watcher {NEXT}")


async def test_a_computer_that_slept_while_its_network_forgot_the_stream(
    browser: Browser, tmp_path: Path
) -> None:
    port = free_port()
    async with (
        prepared(tmp_path) as site,
        proxied(port) as proxy,
        await browser.new_context() as context,
        site.daemon() as daemon,
    ):
        proxy.target = daemon.url
        page = await context.new_page()
        await page.clock.install()
        await opened(page, f"http://127.0.0.1:{port}{PREFIX}/tasks/{MOVING_TASK}")
        proxy.silence()
        await until_stored(site, daemon, "COMPLETED")
        await expect(page.locator("h1")).to_have_text("In progress")
        await page.clock.fast_forward("08:00:00")
        await expect(page.locator("h1")).to_have_text("Completed")
        await expect(page.locator("#state")).to_have_text("Live")
        await expect(page.locator("#offline")).to_be_hidden()
        assert await is_same(page)


async def hideable(context: BrowserContext, url: str) -> tuple[Page, list[str]]:
    """Open a page that can be hidden; return it with the list of what it requests."""
    page = await context.new_page()
    await page.add_init_script(HIDEABLE)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url.rpartition("/")[2]))
    await opened(page, url)
    sent.clear()
    return page, sent


async def test_a_hidden_tab_requests_nothing_and_catches_up(
    browser: Browser, tmp_path: Path
) -> None:
    async with filled(tmp_path) as (site, daemon), await browser.new_context() as context:
        url = f"{daemon.url}/tasks/{MOVING_TASK}"
        first, of_first = await hideable(context, url)
        second, of_second = await hideable(context, url)
        await first.evaluate("hide(true)")
        of_first.clear()
        await until_stored(site, daemon, "PROCESSING")
        await expect(second.locator("h1")).to_have_text("Processing")
        assert "changes" in of_second, "the tab that is shown has the stream now"
        assert of_first == []
        assert await first.inner_text("h1") == "In progress"

        await second.evaluate("hide(true)")
        of_second.clear()
        await until_stored(site, daemon, "COMPLETED")
        await first.evaluate("hide(false)")
        await expect(first.locator("h1")).to_have_text("Completed")
        assert (await second.inner_text("h1"), of_second) == ("Processing", [])
        assert await is_same(first)


async def test_the_back_button_leads_to_the_page_as_it_was_and_then_to_the_present(
    tmp_path: Path,
) -> None:
    async with (
        filled(tmp_path) as (site, daemon),
        chromium(without=["--disable-back-forward-cache"]) as browser,
        await browser.new_context() as context,
    ):
        page = await context.new_page()
        await opened(page, f"{daemon.url}/tasks/{MOVING_TASK}")
        await page.click("nav >> text=Settings")
        await expect(page.locator("h1")).to_have_text("Settings")
        await until_stored(site, daemon, "COMPLETED")
        await page.go_back(wait_until="commit")
        await expect(page.locator("h1")).to_have_text("Completed")
        assert await is_same(page), "the browser kept the page"
        await expect(page.locator("#state")).to_have_text("Live")
