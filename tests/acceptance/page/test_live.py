"""A page that is open: it follows the daemon, and leaves focus, selection and folds as they are."""

from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.acceptance.page.site import console_of, filled, prepared
from tests.shipped.tools import free_port
from tests.support.page_story import FAILED_TASK, MOVING_TASK

pytestmark = pytest.mark.anyio

TABS = 12
_NEXT_BEAT = """() => new Promise(done => {
    const source = new EventSource("../changes");
    let changed = false;
    source.addEventListener("changed", () => { changed = true; });
    source.addEventListener("beat", () => { if (changed) { source.close(); done(); } });
})"""
"""Resolved with the first beat after a change: by then, a page that may change has changed."""


async def opened(page: Page, url: str) -> None:
    """Go to a page and wait until it is live. `marked` is lost with the next load."""
    await page.goto(url)
    await expect(page.locator("#state")).to_have_text("Live")
    await page.evaluate("window.marked = true")


async def is_same(page: Page) -> bool:
    """Return whether the page was not loaded again since."""
    return bool(await page.evaluate("window.marked === true"))


async def test_a_killed_daemon_is_shown_and_its_return_too(
    browser: Browser, tmp_path: Path
) -> None:
    async with prepared(tmp_path) as site, await browser.new_context() as context:
        site.environ["WATCHER_SERVER__PORT"] = str(free_port())
        page = await context.new_page()
        async with site.daemon() as daemon:
            await opened(page, f"{daemon.url}/tasks/{MOVING_TASK}")
            daemon.process.kill()
            await daemon.ended()
            offline = page.locator("#offline")
            await expect(offline).to_contain_text("The watcher does not answer.")
            await expect(page.locator("#said")).to_have_text(
                "The connection to the watcher is lost"
            )
            await expect(page.locator("h1")).to_have_text("In progress")
        site.upstream.set(MOVING_TASK, "COMPLETED")
        async with site.daemon():
            await expect(page.locator("h1")).to_have_text("Completed")
            await expect(offline).to_be_hidden()
            await expect(page.locator("#state")).to_have_text("Live")
        assert await is_same(page)


async def test_focus_and_folds_stay_over_an_update(browser: Browser, tmp_path: Path) -> None:
    async with (
        filled(tmp_path) as (site, daemon),
        await browser.new_context() as context,
    ):
        page = await context.new_page()
        console = console_of(page)
        await opened(page, f"{daemon.url}/tasks/{MOVING_TASK}")
        fold = page.locator("details[id^=delivery]").first
        await fold.locator("summary").click()
        link = page.locator("main a", has_text="alerts").last
        await link.focus()
        before = await page.evaluate("document.activeElement.href")

        site.upstream.set(MOVING_TASK, "FAILED", error="Out of memory")
        await expect(page.locator("h1")).to_have_text("Failed")
        await expect(page.locator(".error")).to_have_text("Out of memory")
        assert await fold.get_attribute("open") is not None
        assert await page.evaluate("document.activeElement.href") == before
        assert await page.locator("#said").inner_text() == ""
        assert await is_same(page)
        assert console == []


async def test_nothing_changes_below_a_selection_or_while_paused(
    browser: Browser, tmp_path: Path
) -> None:
    async with (
        filled(tmp_path) as (site, daemon),
        await browser.new_context() as context,
    ):
        page = await context.new_page()
        await opened(page, f"{daemon.url}/tasks/{MOVING_TASK}")
        await page.evaluate("getSelection().selectAllChildren(document.querySelector('main code'))")
        selected = await page.evaluate("getSelection().toString()")
        assert selected == MOVING_TASK
        beat = await page.evaluate_handle(f"window.beat = ({_NEXT_BEAT})(), 0")
        await beat.dispose()
        site.upstream.set(MOVING_TASK, "PROCESSING")
        await page.evaluate("window.beat")
        await expect(page.locator("h1")).to_have_text("In progress")
        assert await page.evaluate("getSelection().toString()") == selected
        await page.evaluate("getSelection().removeAllRanges()")
        await expect(page.locator("h1")).to_have_text("Processing")

        await page.click("#pause")
        await page.evaluate_handle(f"window.beat = ({_NEXT_BEAT})(), 0")
        site.upstream.set(MOVING_TASK, "COMPLETED")
        await page.evaluate("window.beat")
        await expect(page.locator("h1")).to_have_text("Processing")
        await page.click("#pause")
        await expect(page.locator("h1")).to_have_text("Completed")


async def test_the_rows_of_a_list_stay_in_place(browser: Browser, tmp_path: Path) -> None:
    async with (
        filled(tmp_path) as (site, daemon),
        await browser.new_context() as context,
    ):
        page = await context.new_page()
        await opened(page, f"{daemon.url}/tasks?state=active")
        rows = page.locator("main tbody th[scope=row] a")
        before = await rows.all_inner_texts()
        site.upstream.set(MOVING_TASK, "COMPLETED")
        row = page.locator("main tbody tr", has_text=MOVING_TASK)
        await expect(row).to_contain_text("Completed")
        assert await rows.all_inner_texts() == before
        assert FAILED_TASK not in " ".join(before)
        assert await is_same(page)


async def test_twelve_tabs_share_one_stream(browser: Browser, tmp_path: Path) -> None:
    streams: list[Page] = []
    async with (
        filled(tmp_path) as (site, daemon),
        await browser.new_context() as context,
    ):
        context.on(
            "request",
            lambda sent: streams.append(sent.frame.page) if "/changes" in sent.url else None,
        )
        pages = [await context.new_page() for _ in range(TABS)]
        for page in pages:
            await opened(page, f"{daemon.url}/tasks/{MOVING_TASK}")
        assert len(streams) == 1
        site.upstream.set(MOVING_TASK, "PROCESSING")
        for page in pages:
            await expect(page.locator("h1")).to_have_text("Processing")

        pages.remove(streams[0])
        await streams[0].close()
        site.upstream.set(MOVING_TASK, "COMPLETED")
        for page in pages:
            await expect(page.locator("h1")).to_have_text("Completed")
        assert len(streams) == 2
