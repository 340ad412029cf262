"""Three open pages at 100 events a second, beside the same load without them, in turns."""

import sqlite3
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import anyio
from playwright.async_api import Browser, BrowserContext, CDPSession, Page

from bench.processes import cpu_seconds, percentile
from tests.acceptance.page.site import HIDEABLE

PAGES = ("", "tasks?status=FAILED", "tasks")
TURN = 30.0
"""Seconds with the pages, then without them: a hidden page has no stream and requests nothing."""
_SETTLE = 2.0
"""Seconds after a change of turns that are not measured."""
_WARM_UP = 20.0
"""Seconds before the first turn, or a tenth of all turns: what a browser compiles and remembers of
a page grows for minutes, and then no more."""
_LOOKS = 3
"""Sizes of a page whose median is taken at the begin, and at the end."""
_ANNOUNCED = """() => {
    window.announced = [];
    const live = "[role=status], [role=alert], [aria-live]";
    new MutationObserver((changes) => {
        for (const change of changes) {
            const node = change.target;
            const region = (node.closest ? node : node.parentElement)?.closest(live);
            if (region && region.textContent) window.announced.push(region.textContent);
        }
    }).observe(document.body, {childList: true, characterData: true, subtree: true});
}"""


@dataclass(slots=True)
class Periods:
    """The daemon in all turns of one kind. Times are in seconds."""

    cpu: float = 0.0
    events: int = 0
    lasted: float = 0.0
    requests: int = 0
    """What the pages have requested to be up to date."""
    latencies: list[float] = field(default_factory=list)

    @property
    def share(self) -> float:
        """The share of a core."""
        return self.cpu / self.lasted

    def __str__(self) -> str:
        late = [1000 * percentile(self.latencies, share) for share in (0.5, 0.99)]
        return (
            f"{self.share:6.1%} of a core, {self.events / self.lasted:.0f} events/s, median and "
            f"p99 of {len(self.latencies):,} deliveries {late[0]:.0f} and {late[1]:.0f} ms"
        )


@dataclass(frozen=True, slots=True)
class Load:
    """The daemon under load, whose store is in `folder`."""

    url: str
    pid: int
    folder: Path

    async def measure(self, periods: Periods, pages: list["Watched"]) -> None:
        """Add what the daemon does in a turn, and what the pages request."""
        await anyio.sleep(_SETTLE)
        requests = sum(page.requests for page in pages)
        events, cpu, began = self._last_event(), cpu_seconds(self.pid), time.monotonic()
        await anyio.sleep(TURN - _SETTLE)
        periods.lasted += time.monotonic() - began
        periods.cpu += cpu_seconds(self.pid) - cpu
        periods.requests += sum(page.requests for page in pages) - requests
        periods.events += self._last_event() - events
        periods.latencies += self._latencies(events)

    def _last_event(self) -> int:
        return int(self._rows("SELECT max(id) FROM events")[0][0])

    def _latencies(self, after: int) -> list[float]:
        rows = self._rows(
            "SELECT delivered_at - created_at FROM deliveries WHERE state = 'delivered' "
            f"AND event > {after}"
        )
        return [float(row[0]) for row in rows]

    def _rows(self, query: str) -> list[tuple[float, ...]]:
        path = f"file:{self.folder}/watcher.db?mode=ro"
        with closing(sqlite3.connect(path, uri=True)) as connection:
            return connection.execute(query).fetchall()


@dataclass(slots=True)
class Watched:
    """A page that is open: its elements and its heap in MB, after each turn."""

    page: Page
    session: CDPSession
    elements: list[float] = field(default_factory=list)
    heap: list[float] = field(default_factory=list)
    requests: int = 0
    """Of its own address, since it was opened."""

    def count(self, request: Mapping[str, Any]) -> None:
        """Count what its script fetches."""
        self.requests += request["type"] == "Fetch"

    async def hide(self, hidden: bool) -> None:
        """Hide the tab, or show it."""
        await self.page.evaluate("hidden => hide(hidden)", hidden)

    async def look(self) -> None:
        """Add what the page takes after a collection of garbage."""
        await self.session.send("HeapProfiler.collectGarbage")
        found = await self.session.send("Performance.getMetrics")
        metrics = {one["name"]: one["value"] for one in found["metrics"]}
        self.elements.append(await self.page.evaluate("document.getElementsByTagName('*').length"))
        self.heap.append(metrics["JSHeapUsedSize"] / 1e6)

    async def line(self) -> str:
        """Return the sizes at the begin and at the end, and how much was announced."""
        said = len(await self.page.evaluate("window.announced"))
        path = self.page.url.rpartition("/")[2] or "overview"
        return (
            f"{path:<24}{_growth(self.elements, '.0f')} elements, heap {_growth(self.heap, '.2f')} "
            f"MB, {said} announcements"
        )


def _growth(values: list[float], form: str) -> str:
    begin, end = median(values[:_LOOKS]), median(values[-_LOOKS:])
    return f"{begin:{form}} → {end:{form}} ({end / begin - 1:+.0%})"


async def show_load(browser: Browser, load: Load, minutes: float) -> None:
    """Print what the load costs without and with the pages, and what becomes of the pages.

    Each kind of turns takes `minutes` in all.
    """
    turns = max(round(60 * minutes / TURN), 1)
    print(f"\n100 events a second, {turns} × {TURN:g} s without and with pages, in turns")
    without, beside = Periods(), Periods()
    async with AsyncExitStack() as stack:
        context = await stack.enter_async_context(await browser.new_context())
        await context.add_init_script(HIDEABLE)
        pages = [await _opened(context, f"{load.url}/{path}") for path in PAGES]
        await anyio.sleep(max(_WARM_UP, 2 * turns * TURN / 10))
        for _ in range(turns):
            await _hide(pages, hidden=True)
            await load.measure(without, pages)
            await _hide(pages, hidden=False)
            await load.measure(beside, pages)
            for watched in pages:
                await watched.look()
        print(f"no page is open         {without}")
        print(f"three pages are open    {beside}, {beside.share - without.share:+.1%} of a core")
        print(_own_requests(without, beside))
        for watched in pages:
            print(await watched.line())


def _own_requests(without: Periods, beside: Periods) -> str:
    """Return how often the pages were requested, and what the daemon took for one.

    That is all that it takes while pages are open: their stream and the counts of the status, too.
    """
    cpu = 1000 * (beside.share - without.share) * beside.lasted / max(beside.requests, 1)
    return (
        f"their own requests      {60 * beside.requests / beside.lasted:.0f} a minute "
        f"({without.requests} while hidden), {cpu:.1f} ms of CPU each"
    )


async def _hide(pages: list[Watched], *, hidden: bool) -> None:
    for watched in pages:
        await watched.hide(hidden)


async def _opened(context: BrowserContext, url: str) -> Watched:
    page = await context.new_page()
    session = await context.new_cdp_session(page)
    await session.send("Performance.enable")
    await session.send("Network.enable")
    watched = Watched(page, session)
    # Not the method itself: Playwright sets an attribute on the object that it is of.
    session.on("Network.requestWillBeSent", lambda request: watched.count(request))
    await page.goto(url)
    await page.evaluate(_ANNOUNCED)
    return watched
