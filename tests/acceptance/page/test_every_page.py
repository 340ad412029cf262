"""Each page, as every reader gets it: accessible, within its window, and with nothing to report in
the browser's console.
"""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page

from tests.acceptance.daemon import Daemon
from tests.acceptance.page.crawl import crawl
from tests.acceptance.page.site import axe_source, console_of, filled, log_in, overflow
from tests.support.page_story import FAILED_TASK, hostile_tales, tales

pytestmark = pytest.mark.anyio

NOT_LINKED = (
    *("tasks/task_missing", "batches/none", "tasks?q=nothing-like-this"),
    f"tasks?state=active&rows=mixpeek~{FAILED_TASK}",  # a live list, one of whose tasks has ended
)
RULES = {
    "runOnly": {
        "type": "tag",
        "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    }
}

COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}
"""The rules whose result depends on the colours."""


@pytest.fixture(scope="module", params=[False, True], ids=["read-only", "token"])
async def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Daemon, bool]]:
    folder = tmp_path_factory.mktemp("page")
    async with filled(folder, [*tales(), *hostile_tales()], token=request.param) as (_, daemon):
        yield daemon, request.param


async def context_of(
    browser: Browser, served: tuple[Daemon, bool], width: int, **options: Any
) -> BrowserContext:
    """Return a context of this width, logged in where there is a token."""
    daemon, token = served
    context = await browser.new_context(viewport={"width": width, "height": 900}, **options)
    if token:
        await log_in(context, daemon.url)
    return context


async def violations(page: Page, rules: dict[str, Any]) -> list[str]:
    """Return what axe-core reports of a page, one line for each element."""
    result: Any = await page.evaluate("rules => axe.run(document, rules)", rules)
    assert result["passes"]
    return [
        f"{found['id']} {node['html'][:160]} {node['failureSummary'][:200]}"
        for found in result["violations"]
        for node in found["nodes"]
    ]


@pytest.mark.parametrize("width", [1280, 360])
async def test_axe_core_has_nothing_to_report_in_light_and_dark(
    browser: Browser, served: tuple[Daemon, bool], width: int
) -> None:
    script, found, pages = axe_source(), {}, 0
    context = await context_of(browser, served, width, bypass_csp=True)
    async with context:
        page = await context.new_page()
        start = f"{served[0].url}/"
        async for url in crawl(page, start, more=NOT_LINKED):
            pages += 1
            await page.emulate_media(color_scheme="light")
            await page.evaluate(script)
            lines = await violations(page, RULES)
            await page.emulate_media(color_scheme="dark")
            if lines := lines + await violations(page, COLOURS):
                found[url] = lines
    assert not found, json.dumps(found, indent=1)
    assert pages >= 15


@pytest.mark.parametrize("width", [1280, 360, 320])
async def test_no_page_is_wider_than_its_window_and_the_console_stays_empty(
    browser: Browser, served: tuple[Daemon, bool], width: int
) -> None:
    wide, shown = {}, {}
    async with await context_of(browser, served, width) as context:
        page = await context.new_page()
        console = console_of(page)
        async for url in crawl(page, f"{served[0].url}/", more=NOT_LINKED):
            await page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
            if pixels := await overflow(page):
                wide[url] = pixels
            logged = [line for line in console if "404 (Not Found)" not in line]
            if logged or await page.title() == "owned":
                shown[url] = list(logged)
            console.clear()
            assert await page.locator("img, main script").count() == 0
    assert (wide, shown) == ({}, {})
