"""Actions, as they are done at night: with the keyboard alone, and in a browser without scripts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.acceptance.page.site import TOKEN, filled
from tests.support.page_story import BATCH, FAILED_TASK, MOVING_TASK

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
        await expect(page.locator("details[open] table")).to_contain_text("503")
        await tab_to(page, "Send again", within=".again")
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """An action: what is pressed within a part of a page, then in each question, and what the page
    says afterwards. `typed` are the fields that a person fills in.
    """

    page: str
    within: str = "main"
    pressed: tuple[str, ...]
    typed: Mapping[str, str] = field(default_factory=dict)
    said: str


AGAIN = ("Send its events again…", "Continue", "Send again")
DEEDS = (
    Deed(page="tasks/task_none", pressed=("Watch this task",), said="task_none is watched."),
    Deed(page=f"tasks/{FAILED_TASK}", within=".again", pressed=("Send again",), said="is queued."),
    Deed(page=f"tasks/{FAILED_TASK}", within="aside", pressed=AGAIN, said="to backend queued."),
    Deed(page=f"batches/{BATCH}", pressed=AGAIN, said="to backend queued."),
    Deed(
        page=f"batches/{BATCH}",
        pressed=("Cancel upstream…", "Cancel the batch"),
        typed={"typed": BATCH},
        said="Cancel accepted",
    ),
    Deed(
        page=f"tasks/{MOVING_TASK}",
        pressed=("Kill upstream…", "Kill"),
        typed={"typed": MOVING_TASK},
        said="Kill accepted",
    ),
    Deed(
        page=f"tasks/{MOVING_TASK}",
        pressed=("Stop watching…", "Stop watching"),
        said="is no longer watched.",
    ),
    Deed(
        page="channels",
        within="section#backend",
        pressed=("Send a test message",),
        said="backend accepted the test message",
    ),
    Deed(
        page="channels",
        within="section#backend",
        pressed=("Replay…", "Continue", "Send again"),
        typed={"since": "2h"},
        said="to backend queued.",
    ),
    Deed(
        page="channels",
        within="section#team",
        pressed=("Pause…", "Pause"),
        typed={"reason": "moving house"},
        said="team is paused.",
    ),
    Deed(page="channels", within="section#team", pressed=("Resume",), said="team is resumed"),
    Deed(
        page="channels",
        within="section#alerts",
        pressed=("Send all failed again…", "Send again"),
        said="to alerts queued.",
    ),
    Deed(
        page="channels",
        within="section#alerts",
        pressed=("Purge waiting…", "Delete"),
        typed={"typed": "alerts"},
        said="to alerts deleted.",
    ),
)


async def fill_in(page: Page, name: str, value: str) -> None:
    """Type into the field that has this name, and replace what it holds, with the keyboard."""
    for _ in range(MOST_KEYS):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.name") == name:
            await page.keyboard.press("ControlOrMeta+a")
            await page.keyboard.type(value)
            return
    raise AssertionError(f"the field {name!r} was not reached")


async def do_with_the_keyboard(page: Page, deed: Deed) -> None:
    first, *others = deed.pressed
    await tab_to(page, first, within=deed.within)
    await page.keyboard.press("Enter")
    for number, text in enumerate(others):
        await page.wait_for_selector("form.fields")
        for name, value in deed.typed.items() if number == 0 else ():
            await fill_in(page, name, value)
        await tab_to(page, text, within="form.fields")
        async with page.expect_navigation():
            await page.keyboard.press("Enter")


async def do_without_scripts(page: Page, deed: Deed) -> None:
    first, *others = deed.pressed
    await page.locator(deed.within).locator("a, button", has_text=first).first.click()
    for number, text in enumerate(others):
        for name, value in deed.typed.items() if number == 0 else ():
            await page.fill(f"[name={name}]", value)
        await page.locator("form.fields button", has_text=text).click()


@pytest.mark.parametrize("scripts", [True, False], ids=["keyboard", "without scripts"])
async def test_each_action_can_be_done(scripts: bool, browser: Browser, tmp_path: Path) -> None:
    do = do_with_the_keyboard if scripts else do_without_scripts
    async with (
        filled(tmp_path, token=True) as (_, daemon),
        await browser.new_context(java_script_enabled=scripts) as context,
    ):
        page = await context.new_page()
        await page.goto(f"{daemon.url}/login")
        await page.fill("#token", TOKEN)
        await page.click("form button[type=submit]")
        for deed in DEEDS:
            await page.goto(f"{daemon.url}/{deed.page}")
            await do(page, deed)
            await expect(page.locator("#flash")).to_contain_text(deed.said)
