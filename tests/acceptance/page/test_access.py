"""Log-in, pages of other origins, proxies, and a browser without scripts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import Browser, Page, expect

from tests.acceptance.page.proxy import PREFIX, proxied
from tests.acceptance.page.site import TOKEN, console_of, filled, log_in, prepared
from tests.shipped.tools import free_port
from tests.support.page_story import BATCH, FAILED_TASK, MOVING_TASK
from watcher.testing.loopback import served

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def other_origin(body: str) -> AsyncIterator[str]:
    """Serve a page of another site, which is on this machine, too."""

    async def show(_: web.Request) -> web.Response:
        return web.Response(
            text=f"<!doctype html><title>other</title>{body}", content_type="text/html"
        )

    app = web.Application()
    app.router.add_get("/", show)
    async with served(app) as url:
        yield url.replace("127.0.0.1", "localhost")


async def fill_token(page: Page) -> None:
    await page.fill("#token", TOKEN)
    await page.click("form button[type=submit]")


async def test_a_link_of_another_site_leads_to_the_task_with_and_without_a_session(
    browser: Browser, tmp_path: Path
) -> None:
    async with filled(tmp_path, token=True) as (_, daemon):
        task = f"{daemon.url}/tasks/{FAILED_TASK}"
        link = f'<a href="{task}">Open in watcher</a>'
        async with other_origin(link) as other, await browser.new_context() as context:
            page = await context.new_page()
            await page.goto(other)
            await page.click("a")
            await expect(page.locator("h1")).to_have_text("Log in")
            assert FAILED_TASK not in await page.inner_text("body")
            await fill_token(page)
            await expect(page.locator("h1")).to_have_text("Failed")
            assert page.url == task

            await page.goto(other)
            await page.click("a")
            await expect(page.locator("h1")).to_have_text("Failed")


async def test_a_wrong_token_and_a_log_out(browser: Browser, tmp_path: Path) -> None:
    async with filled(tmp_path, token=True) as (_, daemon), await browser.new_context() as context:
        page = await context.new_page()
        await page.goto(f"{daemon.url}/channels")
        await page.fill("#token", "wrong")
        await page.click("form button[type=submit]")
        await expect(page.locator("[role=alert]")).to_have_text("This is not the API token.")
        await fill_token(page)
        await expect(page.locator("h1")).to_have_text("Channels")
        assert page.url == f"{daemon.url}/channels"

        (cookie,) = await context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        api = await page.request.get(f"{daemon.url}/v1/watches")
        assert api.status == 401  # the session is valid for pages alone

        await page.click("text=Log out")
        await expect(page.locator("h1")).to_have_text("Log in")
        await page.goto(f"{daemon.url}/")
        await expect(page.locator("h1")).to_have_text("Log in")


async def test_a_form_of_another_origin_is_rejected(browser: Browser, tmp_path: Path) -> None:
    async with filled(tmp_path, token=True) as (_, daemon), await browser.new_context() as context:
        await log_in(context, daemon.url)
        form = f'<form method="post" action="{daemon.url}/logout"><button>Win</button></form>'
        page = await context.new_page()
        async with other_origin(form) as other:
            await page.goto(other)
            async with page.expect_response(f"{daemon.url}/logout") as answered:
                await page.click("button")
            assert (await (await answered.value).all_headers()).get("set-cookie") is None
            assert (await answered.value).status == 403
        await page.goto(f"{daemon.url}/")
        await expect(page.locator("h1")).to_contain_text("attention")


@pytest.mark.parametrize("strips", [True, False], ids=["stripping", "not stripping"])
async def test_everything_works_below_a_path_of_a_proxy(
    strips: bool, browser: Browser, tmp_path: Path
) -> None:
    port = free_port()
    external = f"http://127.0.0.1:{port}{PREFIX}"
    async with (
        prepared(tmp_path, token=True) as site,
        proxied(port) as proxy,
        await browser.new_context() as context,
    ):
        if not strips:
            site.environ["WATCHER_SERVER__EXTERNAL_URL"] = external
        async with site.daemon() as daemon:
            proxy.target, proxy.strips = daemon.url, strips
            page = await context.new_page()
            console = console_of(page)
            await page.goto(f"{external}/tasks?status=FAILED")
            console.clear()  # the browser reports the 401 of the form
            await fill_token(page)
            await expect(page.locator("h1")).to_have_text("Tasks")
            await page.locator("tbody a", has_text=FAILED_TASK).first.click()
            await expect(page.locator("h1")).to_have_text("Failed")
            await page.locator("aside a", has_text=BATCH).click()
            await expect(page.locator("h1")).to_be_visible()
            await page.goto(f"{external}/tasks/{MOVING_TASK}")
            await expect(page.locator("#state")).to_have_text("Live")
            site.upstream.set(MOVING_TASK, "COMPLETED")
            await expect(page.locator("h1")).to_have_text("Completed")
            (cookie,) = await context.cookies()
            assert cookie["path"] == PREFIX
            await page.click("text=Log out")
            await expect(page.locator("h1")).to_have_text("Log in")
            assert page.url == f"{external}/login"
            assert console == []


async def test_a_browser_without_scripts_reads_and_searches(
    browser: Browser, tmp_path: Path
) -> None:
    async with (
        filled(tmp_path, token=True) as (_, daemon),
        await browser.new_context(java_script_enabled=False) as context,
    ):
        page = await context.new_page()
        await page.goto(f"{daemon.url}/")
        await fill_token(page)
        await expect(page.locator("h1")).to_contain_text("attention")
        assert not await page.locator("#live").is_visible()
        await page.click("nav >> text=Tasks")
        assert "UTC" in await page.locator("tbody time").first.inner_text()
        await page.fill("#q", "Object not found")
        await page.click("form[role=search] button")
        await page.locator("tbody a", has_text=FAILED_TASK).first.click()
        await expect(page.locator("h1")).to_have_text("Failed")
        await page.locator("details[id^=delivery] summary").first.click()
        await expect(page.locator("details[open] table").first).to_be_visible()
        await page.goto(f"{daemon.url}/tasks?q={FAILED_TASK}")
        assert f"/tasks/{FAILED_TASK}" in page.url
