"""Actions, as they are done at night: with the keyboard alone, and in a browser without scripts."""

from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.acceptance.page.site import TOKEN, filled
from tests.support.page_story import FAILED_TASK

pytestmark = pytest.mark.anyio

MOST_KEYS = 300
_FOCUSED = """() => {
    const one = document.activeElement, style = getComputedStyle(one);
    return [one.innerText || one.value || "", style.outlineStyle, one.closest("[hidden]") === null];
}"""


async def tab_to(page: Page, text: str, *, within: str = "body") -> None:
    """Press Tab until an element with this text, within that one, has the focus, each one seen."""
    for _ in range(MOST_KEYS):
        await page.keyboard.press("Tab")
        found, outline, shown = await page.evaluate(_FOCUSED)
        assert shown, found
        inside = await page.evaluate(
            "selector => document.activeElement.closest(selector) !== null", within
        )
        if text in found and inside:
            assert outline != "none", found
            return
    raise AssertionError(f"{text!r} was not reached")


async def test_a_failed_task_is_found_and_sent_again_with_the_keyboard_alone(
    browser: Browser, tmp_path: Path
) -> None:
    async with filled(tmp_path, token=True) as (_, daemon), await browser.new_context() as context:
        page = await context.new_page()
        await page.goto(f"{daemon.url}/")
        await page.keyboard.type(TOKEN)  # the field has the focus
        await page.keyboard.press("Enter")
        await expect(page.locator("h1")).to_contain_text("need attention")
        await tab_to(page, "See tasks")
        await page.keyboard.press("Enter")
        await expect(page.locator("[aria-current=true]")).to_contain_text("Failed")
        await tab_to(page, FAILED_TASK, within="tbody")
        await page.keyboard.press("Enter")
        await expect(page.locator("h1")).to_have_text("Failed")
        await tab_to(page, "failed", within="details[id^=delivery]")
        await page.keyboard.press("Enter")
        await tab_to(page, "Send again", within="details[open]")
        await page.keyboard.press("Enter")
        flash = page.locator("#flash")
        await expect(flash).to_contain_text("queued")
        await expect(flash).to_be_focused()
        await expect(page.locator("h1")).to_have_text("Failed")


async def test_all_failed_deliveries_are_sent_again_without_scripts(
    browser: Browser, tmp_path: Path
) -> None:
    async with (
        filled(tmp_path, token=True) as (_, daemon),
        await browser.new_context(java_script_enabled=False) as context,
    ):
        page = await context.new_page()
        await page.goto(f"{daemon.url}/deliveries?state=failed")
        await page.fill("#token", TOKEN)
        await page.click("form button[type=submit]")
        await page.locator("main a", has_text="Send again").first.click()
        question = await page.inner_text("main")
        assert "alerts" in question
        await page.click("main form button[type=submit]")
        await expect(page.locator("#flash")).to_contain_text("queued")
        assert "/deliveries" in page.url
        await page.reload()  # repeats nothing
        await expect(page.locator("h1")).to_have_text("Deliveries")
