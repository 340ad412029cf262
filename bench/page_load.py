"""Three open pages at 100 events a second, beside the same load without them."""

import sqlite3
import time
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from playwright.async_api import Browser, CDPSession, Page

from bench.processes import cpu_seconds, percentile

PAGES = ("", "tasks?status=FAILED", "tasks")
_WARM_UP = 20.0
"""Seconds after which a page's bars and caches are as full as they become at first."""
_EVERY = 10.0
_ANNOUNCED = """() => {
    window.announced = [];
    new MutationObserver(() => {
        const text = document.getElementById("said").textContent;
        if (text) window.announced.push(text);
    }).observe(document.getElementById("said"), {childList: true, subtree: true});
}"""


@dataclass(frozen=True, slots=True)
class Load:
    """The daemon under load, whose store is in `folder`."""

    url: str
    pid: int
    folder: Path

    async def measured(self, seconds: float) -> "Period":
        """Return what the daemon did in the next `seconds`."""
        events, cpu, began = self._last_event(), cpu_seconds(self.pid), time.time()
        await anyio.sleep(seconds)
        lasted = time.time() - began
        return Period(
            cpu=(cpu_seconds(self.pid) - cpu) / lasted,
            events=(self._last_event() - events) / lasted,
            latencies=self._latencies(events),
        )

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


@dataclass(frozen=True, slots=True)
class Period:
    """The daemon in one period: shares of a core, events a second, seconds to each delivery."""

    cpu: float
    events: float
    latencies: list[float]

    def __str__(self) -> str:
        late = 1000 * percentile(self.latencies, 0.99)
        return (
            f"{self.cpu:6.1%} of a core, {self.events:.0f} events/s, "
            f"p99 of {len(self.latencies):,} deliveries {late:.0f} ms"
        )


@dataclass(slots=True)
class Watched:
    """A page that is open: its elements and its heap in MB, at the begin and now."""

    page: Page
    session: CDPSession
    sizes: list[tuple[int, float]] = field(default_factory=list)

    async def look(self) -> None:
        """Add what the page takes after a collection of garbage."""
        await self.session.send("HeapProfiler.collectGarbage")
        found = await self.session.send("Performance.getMetrics")
        metrics = {one["name"]: one["value"] for one in found["metrics"]}
        elements = await self.page.evaluate("document.getElementsByTagName('*').length")
        self.sizes.append((elements, metrics["JSHeapUsedSize"] / 1e6))

    async def line(self) -> str:
        """Return the first and the last sizes."""
        (elements, heap), (now, heap_now) = self.sizes[0], self.sizes[-1]
        said = len(await self.page.evaluate("window.announced"))
        path = self.page.url.rpartition("/")[2] or "overview"
        return (
            f"{path:<24}{elements} → {now} elements ({now / elements - 1:+.0%}), heap {heap:.2f} → "
            f"{heap_now:.2f} MB ({heap_now / heap - 1:+.0%}), {said} announcements"
        )


async def show_load(browser: Browser, load: Load, minutes: float) -> None:
    """Print what the load costs without and with the pages, and what becomes of the pages."""
    print(f"\n100 events a second, {minutes:g} min each")
    await anyio.sleep(_WARM_UP)
    print(f"no page is open         {await load.measured(60 * minutes)}")
    async with AsyncExitStack() as stack:
        context = await stack.enter_async_context(await browser.new_context())
        pages = [await _opened(await context.new_page(), f"{load.url}/{path}") for path in PAGES]
        await anyio.sleep(_WARM_UP)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_look, pages)
            print(f"three pages are open    {await load.measured(60 * minutes)}")
            tasks.cancel_scope.cancel()
        for watched in pages:
            await watched.look()
            print(await watched.line())


async def _opened(page: Page, url: str) -> Watched:
    session = await page.context.new_cdp_session(page)
    await session.send("Performance.enable")
    await page.goto(url)
    await page.evaluate(_ANNOUNCED)
    return Watched(page, session)


async def _look(pages: list[Watched]) -> None:
    while True:
        for watched in pages:
            await watched.look()
        await anyio.sleep(_EVERY)
