"""Makes the pictures of the live page in docs/: `python -m scripts.pictures.pages [FOLDER]`.

They are of a real daemon in a real browser, so they differ from run to run: no test compares them.
"""

import base64
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import anyio
from playwright.async_api import Page, expect

from tests.acceptance.page.site import chromium, filled
from tests.support.page_story import FAILED_TASK

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {"overview": "", "tasks": "tasks", "task": f"tasks/{FAILED_TASK}"}
ENDS = {"overview": "section[aria-labelledby=channels]"}
"""What a picture of a wide window shows down to its end, however far that is."""
_MARGIN = 24
_WIDE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How a browser shows a page: its window in pixels, and pixels of the picture for each."""

    scheme: Literal["light", "dark"]
    width: int
    height: int
    scale: float = 1


LOOKS = {
    "light": Look(scheme="light", width=1280, height=860),
    "dark": Look(scheme="dark", width=1280, height=860),
    "narrow": Look(scheme="light", width=360, height=780, scale=2),
}


async def draw(folder: Path, looks: Sequence[str] = tuple(LOOKS)) -> list[Path]:
    """Write a picture of each page in each look; return their paths."""
    drawn = []
    with tempfile.TemporaryDirectory() as store:
        async with filled(Path(store)) as (_, daemon), chromium() as browser:
            for name in looks:
                look = LOOKS[name]
                context = await browser.new_context(
                    viewport={"width": look.width, "height": look.height},
                    color_scheme=look.scheme,
                    reduced_motion="reduce",
                )
                async with context:
                    page = await context.new_page()
                    for title, address in PAGES.items():
                        await page.goto(f"{daemon.url}/{address}")
                        await expect(page.locator("#state")).to_have_text("Live")
                        drawn.append(folder / f"page-{title}-{name}.webp")
                        drawn[-1].write_bytes(await _picture_of(page, look, ENDS.get(title)))
    return drawn


async def _picture_of(page: Page, look: Look, end: str | None) -> bytes:
    """Return what a page shows as WebP, which takes half the bytes of a PNG."""
    session = await page.context.new_cdp_session(page)
    height = look.height
    if end is not None and look.width >= _WIDE:
        bottom = await page.locator(end).evaluate("one => one.getBoundingClientRect().bottom")
        height = round(bottom) + _MARGIN
    clip = {"x": 0, "y": 0, "width": look.width, "height": height, "scale": look.scale}
    options = {"format": "webp", "quality": 90, "clip": clip, "captureBeyondViewport": True}
    return base64.b64decode((await session.send("Page.captureScreenshot", options))["data"])


if __name__ == "__main__":
    for path in anyio.run(draw, Path(sys.argv[1]) if sys.argv[1:] else DOCS):
        sys.stdout.write(f"{path} {path.stat().st_size:,} bytes\n")
