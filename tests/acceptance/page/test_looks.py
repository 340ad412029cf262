"""How pages look to those who see, read or print them in another way."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, ViewportSize

from tests.acceptance.daemon import Daemon
from tests.acceptance.page.site import axe_source, filled
from tests.acceptance.page.test_every_page import RULES, violations
from tests.support.page_story import BATCH, FAILED_TASK

pytestmark = pytest.mark.anyio

PAGES = (
    *("", "tasks", "tasks/task_lost", f"tasks/{FAILED_TASK}", "batches", f"batches/{BATCH}"),
    *("deliveries?state=failed", "deliveries?state=pending", "channels", "sources", "settings"),
)
A4 = ViewportSize(width=680, height=1009)
"""What the margins leave of a sheet, in pixels."""
FOCUSED = 12
_STATES = """() => [...document.querySelectorAll(".state")].map(one => {
    const icon = one.querySelector(".icon"), style = icon && getComputedStyle(icon);
    const word = (one.innerText || one.parentElement.innerText).trim();
    return [icon && icon.querySelector("use").getAttribute("href"), word,
            style && style.stroke, getComputedStyle(document.body).color];
})"""
_FOCUS = """() => {
    const style = getComputedStyle(document.activeElement);
    return [style.outlineStyle, style.outlineWidth, style.outlineColor,
            getComputedStyle(document.body).backgroundColor];
}"""
_SIZES_IN_TABLES = """() => [...new Set(
    [...document.querySelectorAll("th, td, td a, th a")].map(one => getComputedStyle(one).fontSize)
)]"""
_CUT_OFF = """() => [...document.querySelectorAll("main, main *")].filter(one => {
    const style = getComputedStyle(one);
    if (style.display.startsWith("inline") || one.closest(".unseen, svg")) return false;
    return one.scrollWidth > one.clientWidth + 1
        || style.overflowY !== "visible" && one.scrollHeight > one.clientHeight + 1;
}).map(one => `${one.tagName} ${one.className} ${one.innerText.slice(0, 60)}`)"""
_MOVING = """() => [...document.querySelectorAll("*")].filter(one => {
    const style = getComputedStyle(one);
    return style.animationName !== "none" || /[1-9]/.test(style.transitionDuration);
}).map(one => one.className)"""


@pytest.fixture(scope="module")
async def daemon(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Daemon]:
    async with filled(tmp_path_factory.mktemp("looks")) as (_, daemon):
        yield daemon


async def lacks(page: Page, *selectors: str) -> list[str]:
    """Return which of the selected elements are shown."""
    return [
        f"{selector}: {await one.inner_text()}"
        for selector in selectors
        for one in await page.locator(selector).all()
        if await one.is_visible()
    ]


async def test_with_forced_colours_each_state_has_a_shape_and_a_word(
    browser: Browser, daemon: Daemon
) -> None:
    script = axe_source()
    context = await browser.new_context(forced_colors="active", bypass_csp=True)
    async with context:
        page = await context.new_page()
        for path in PAGES:
            await page.goto(f"{daemon.url}/{path}")
            states: Any = await page.evaluate(_STATES)
            for shape, word, stroke, text in states:
                assert shape, (path, word)
                assert word, (path, shape)
                assert stroke == text, (path, word)
            await page.evaluate(script)
            assert await violations(page, RULES) == [], path
            if path and "/" not in path and "lost" not in path:
                current = page.locator("nav [aria-current=page]")
                edge = "one => getComputedStyle(one).borderBottom"
                assert (await current.evaluate(edge)).startswith("2px solid"), path
            for _ in range(FOCUSED):
                await page.keyboard.press("Tab")
                style, width, colour, ground = await page.evaluate(_FOCUS)
                assert (style, width) == ("solid", "2px"), path
                assert colour != ground, path


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_on_paper_all_rows_are_whole_and_nothing_is_there_to_press(
    scheme: Any, browser: Browser, daemon: Daemon, tmp_path: Path
) -> None:
    async with await browser.new_context(viewport=A4, color_scheme=scheme) as context:
        page = await context.new_page()
        for path in PAGES:
            await page.goto(f"{daemon.url}/{path}")
            rows = await page.locator("main tbody tr, main .rows > li").count()
            pdf = await page.pdf(path=tmp_path / "page.pdf", format="A4")
            assert pdf.startswith(b"%PDF"), path
            await page.emulate_media(media="print")
            pressed = ("header.bar", "button", "form", ".chips", ".see", ".actions", "footer a")
            assert await lacks(page, *pressed) == [], path
            assert await page.evaluate(_CUT_OFF) == [], path
            shown = page.locator("main tbody tr:visible, main .rows > li:visible")
            assert await shown.count() == rows, path
            assert await page.locator("th:visible").count() == await page.locator("th").count()
            ground = await page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert ground == "rgb(255, 255, 255)", path
            assert len(await page.evaluate(_SIZES_IN_TABLES)) <= 1, path
            await page.emulate_media(media="screen")


async def test_paper_has_times_and_no_ages(browser: Browser, daemon: Daemon) -> None:
    async with await browser.new_context() as context:
        page = await context.new_page()
        await page.goto(f"{daemon.url}/tasks/{FAILED_TASK}")
        text = page.locator("main")
        assert "min ago" in await text.inner_text()
        await page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert "ago" not in await text.inner_text()
        await page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert "min ago" in await text.inner_text()


async def test_with_reduced_motion_nothing_moves(browser: Browser, daemon: Daemon) -> None:
    async with await browser.new_context(reduced_motion="reduce") as context:
        page = await context.new_page()
        for path in PAGES:
            await page.goto(f"{daemon.url}/{path}")
            assert await page.evaluate(_MOVING) == [], path
