"""A daemon on a store that a story has filled, and the browser that looks at its pages."""

import json
import os
import shutil
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from tests.acceptance.daemon import PATIENCE, Daemon, Site, site_in
from tests.support.page_story import Story, StoryClock, Tale, show_upstream, tales
from tests.support.records import SECRET
from watcher.stores.sqlite import store as sqlite

TOKEN = "a-token-of-at-least-16"
ROOT = Path(__file__).parents[3]
TOOLS = Path(os.environ.get("TOOLS", ROOT / ".tools"))
_ARGUMENTS = ("--disable-dev-shm-usage",)
HIDEABLE = """
let hidden = false;
Object.defineProperty(document, "hidden", {get: () => hidden});
window.hide = (wanted) => {
    hidden = wanted;
    document.dispatchEvent(new Event("visibilitychange"));
};
"""
"""A tab of a browser without windows is never hidden, but for this script."""
expect.set_options(timeout=1000 * PATIENCE)


def lacking(what: str) -> None:
    """Skip the test that needs `what`; in CI fail it."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing; .ci/install brings it")
    pytest.skip(f"needs {what}; .ci/install brings it")


def axe_source() -> str:
    """Return the script of axe-core."""
    path = TOOLS / "node_modules/axe-core/axe.min.js"
    if not path.is_file():
        lacking("axe-core")
    return path.read_text()


@asynccontextmanager
async def chromium(*, without: Sequence[str] = ()) -> AsyncIterator[Browser]:
    """Run the machine's Chromium, `without` some of the arguments that Playwright adds."""
    path = shutil.which("chromium")
    if path is None:
        lacking("chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path,
            args=[*_ARGUMENTS],
            ignore_default_args=[*without],
            chromium_sandbox=os.geteuid() != 0,
        )
        try:
            yield browser
        finally:
            await browser.close()


def environ(site: Site) -> dict[str, str]:
    """Return the settings of a daemon with channels and sources in every state."""
    url = site.environ["MIXPEEK_BASE_URL"]
    unlimited = {"requests_per_minute": None, "timeout": "2s", "api_key": "sk_made_up"}
    webhook = {"type": "webhook", "secrets": [SECRET]}
    names = ("backend", "alerts", "team", "audit", "billing")
    channels: list[Mapping[str, object]] = [
        {**webhook, "name": name, "url": site.hook if name == "backend" else "http://127.0.0.1:9/x"}
        for name in names
    ]
    sources = [
        {**unlimited, "name": "mixpeek", "base_url": url},
        {
            **unlimited,
            "name": "archive",
            "base_url": "http://127.0.0.1:9",
            "unreachable_after": "1s",
        },
    ]
    routes = [
        {"channels": ["alerts"], "statuses": ["FAILED", "COMPLETED_WITH_ERRORS"]},
        {"channels": ["backend"]},
        {"channels": ["team"], "statuses": ["CANCELED"]},
        {"channels": ["audit"], "statuses": ["CANCELED"]},
        {"channels": ["billing"], "labels": {"team": "billing"}},
    ]
    links = {"Task": "https://console.example/tasks/{task_id}"}
    channels[2] = {
        **{"name": "team", "type": "slack", "url": f"{site.hook[: -len('/hook')]}/slack"},
        "links": links,
    }
    return {
        "WATCHER_SOURCES": json.dumps(sources),
        "WATCHER_CHANNELS": json.dumps(channels),
        "WATCHER_ROUTES": json.dumps(routes),
    }


@asynccontextmanager
async def prepared(
    folder: Path, story: Sequence[Tale] | None = None, *, token: bool = False
) -> AsyncIterator[Site]:
    """Set up a site whose store holds the story; with `token` its API wants one."""
    written = tales() if story is None else list(story)
    async with site_in(folder) as site:
        clock = StoryClock(time.time())
        async with sqlite.create(site.environ["WATCHER_STORE__URL"], wall=clock) as store:
            await Story(store, clock).write(written)
        show_upstream(site.upstream, written)
        site.environ |= environ(site)
        if token:
            site.environ["WATCHER_SERVER__API_TOKEN"] = TOKEN
        yield site


@asynccontextmanager
async def filled(
    folder: Path, story: Sequence[Tale] | None = None, *, token: bool = False
) -> AsyncIterator[tuple[Site, Daemon]]:
    """Run a daemon on such a site."""
    async with prepared(folder, story, token=token) as site, site.daemon() as daemon:
        yield site, daemon


async def log_in(context: BrowserContext, url: str) -> None:
    """Log in to the page at `url`, as a person does."""
    page = await context.new_page()
    await page.goto(f"{url}/login")
    await page.fill("#token", TOKEN)
    await page.click("button[type=submit]")
    await page.wait_for_selector("nav")
    await page.close()


def console_of(page: Page) -> list[str]:
    """Return the list to which what the page's console and its errors show is added."""
    lines: list[str] = []
    page.on("console", lambda message: lines.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: lines.append(str(error)))
    return lines


async def overflow(page: Page) -> int:
    """Return by how many pixels the page is wider than its window."""
    width: Any = await page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return int(width)
