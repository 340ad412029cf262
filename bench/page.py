"""What the live page costs, each figure beside its baseline of the same run.

    scripts/bench page [--million | --watches N] [--minutes N]

100,000 watches (or a million) as weeks of use leave them. First contentful paint stands beside a
page of 60 bytes; processor time and duration of a page beside `/healthz`; three open pages at 100
events a second, in turns of half a minute, beside the same load without them. Needs Chromium.
"""

import argparse
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import anyio
import httpx
from aiohttp import web
from playwright.async_api import Browser, BrowserContext

from bench.page_load import Load, show_load
from bench.page_store import ACTIVE, BATCH, FAILED, fill
from bench.processes import (
    SECRET,
    THEIRS,
    cpu_seconds,
    daemon,
    free_port,
    percentile,
    pin,
    server,
    until_ready,
)
from tests.acceptance.page.site import chromium
from watcher.testing.loopback import served

PAINTS = 12
REQUESTS = 200
BARE = "<!doctype html><title>bare</title><p>A page of sixty bytes.</p>"
LISTS = {
    "overview": "/",
    "all tasks": "/tasks",
    "running": "/tasks?state=active",
    "failed": "/tasks?status=FAILED",
    "completed": "/tasks?status=COMPLETED",
    "text without a match": "/tasks?q=nothing-like-this",
    "label without a match": "/tasks?label=team:none",
    "one task": f"/tasks/{FAILED}",
    "batch of 200": f"/batches/{BATCH}",
    "batches": "/batches",
    "failed deliveries": "/deliveries?state=failed",
    "delivered": "/deliveries?state=delivered",
    "channels": "/channels",
    "sources": "/sources",
    "settings": "/settings",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """One page: processor time of the server, the durations of its requests, in milliseconds."""

    cpu: float
    median: float
    p99: float


async def cost_of(client: httpx.AsyncClient, pid: int, path: str) -> Cost:
    """Request a page `REQUESTS` times."""
    durations = []
    (await client.get(path)).raise_for_status()
    before = cpu_seconds(pid)
    for _ in range(REQUESTS):
        began = time.perf_counter()
        await client.get(path)
        durations.append(1000 * (time.perf_counter() - began))
    cpu = 1000 * (cpu_seconds(pid) - before) / REQUESTS
    return Cost(cpu=cpu, median=median(durations), p99=percentile(durations, 0.99))


async def show_costs(url: str, pid: int) -> None:
    """Print a line per page, the baseline first."""
    print(f"\n{'page':<24}{'CPU':>9}{'median':>9}{'p99':>9}   ms, {REQUESTS} requests each")
    headers = {"accept-encoding": "gzip"}
    async with httpx.AsyncClient(base_url=url, trust_env=False, headers=headers) as client:
        for name, path in {"/healthz, the baseline": "/healthz", **LISTS}.items():
            cost = await cost_of(client, pid, path)
            print(f"{name:<24}{cost.cpu:9.2f}{cost.median:9.2f}{cost.p99:9.2f}")


async def paint(context: BrowserContext, url: str) -> float:
    """Return the milliseconds to the first contentful paint."""
    page = await context.new_page()
    await page.goto(url)
    found: float = await page.evaluate(
        """() => new Promise(done => new PerformanceObserver(list => {
            for (const entry of list.getEntriesByName("first-contentful-paint"))
                done(entry.startTime);
        }).observe({type: "paint", buffered: true}))"""
    )
    await page.close()
    return found


async def show_paints(browser: Browser, url: str) -> None:
    """Print the paint of the overview with an empty and a filled cache, beside a bare page."""
    app = web.Application()

    async def bare(_: web.Request) -> web.Response:
        return web.Response(text=BARE, content_type="text/html")

    app.router.add_get("/", bare)
    paints: dict[str, list[float]] = {"bare page": [], "empty cache": [], "assets cached": []}
    async with served(app) as bare_url:
        for _ in range(PAINTS):
            async with await browser.new_context() as context:
                paints["bare page"].append(await paint(context, bare_url))
            async with await browser.new_context() as context:
                paints["empty cache"].append(await paint(context, f"{url}/"))
                paints["assets cached"].append(await paint(context, f"{url}/"))
    base = median(paints["bare page"])
    print(f"\nfirst contentful paint, median (best) of {PAINTS}")
    for name, values in paints.items():
        times = median(values) / base
        print(
            f"{name:<24}{median(values):6.0f} ms ({min(values):.0f}), {times:.1f} × the bare page"
        )


async def show_transfer(browser: Browser, url: str) -> None:
    """Print the bytes that each page takes with everything, and each live update alone."""
    print("\nbytes on the wire, gzip: with everything; the page alone")
    for name in ("overview", "failed", "one task", "batch of 200"):
        async with await browser.new_context() as context:
            page = await context.new_page()
            session = await context.new_cdp_session(page)
            await session.send("Network.enable")
            sizes: list[int] = []
            session.on(
                "Network.loadingFinished",
                lambda one, sizes=sizes: sizes.append(one["encodedDataLength"]),
            )
            await page.goto(f"{url}{LISTS[name]}", wait_until="load")
            headers = {"accept-encoding": "gzip"}
            async with (
                httpx.AsyncClient(trust_env=False, headers=headers) as client,
                client.stream("GET", f"{url}{LISTS[name]}") as answer,
            ):
                alone = sum([len(part) async for part in answer.aiter_raw()])
            print(f"{name:<24}{sum(sizes) / 1000:6.1f} kB{alone / 1000:8.1f} kB")


def environ(hook: str) -> dict[str, str]:
    """Return the settings of the daemon that is measured."""
    channels = [
        {"name": "backend", "type": "webhook", "url": hook, "secrets": [SECRET]},
        {"name": "alerts", "type": "webhook", "url": "http://127.0.0.1:9/", "secrets": [SECRET]},
    ]
    return {
        "WATCHER_CHANNELS": json.dumps(channels),
        "WATCHER_ROUTES": '[{"channels": ["backend"]}]',
        "WATCHER_POLLING__MAX_INTERVAL": "2s",
    }


async def measure(folder: Path, options: argparse.Namespace) -> None:
    """Fill a store and print all tables."""
    began = time.perf_counter()
    await fill(f"sqlite:///{folder}/watcher.db", options.watches)
    print(f"{options.watches:,} watches, stored in {time.perf_counter() - began:.0f} s")
    times, port = folder / "times", free_port()
    url = f"http://127.0.0.1:{port}"
    arguments = (str(folder / "report"), "0", "0", "100", str(ACTIVE), "0")
    with (
        server("bench.receiver", folder, str(times)) as (_, hook),
        server("bench.upstream", folder) as (_, still),
    ):
        async with chromium() as browser:
            with daemon(folder, still, port, **environ(hook)) as process:
                until_ready(url)
                await show_transfer(browser, url)
                await show_paints(browser, url)
                await show_costs(url, process.pid)
            if options.minutes:
                with (
                    server("bench.upstream", folder / "moving", *arguments) as (_, moving),
                    daemon(folder, moving, port, **environ(hook)) as process,
                ):
                    until_ready(url)
                    await show_load(browser, Load(url, process.pid, folder), options.minutes)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--watches", type=int, default=100_000)
    parser.add_argument(
        "--million", dest="watches", action="store_const", const=1_000_000, help="of them"
    )
    parser.add_argument("--minutes", type=float, default=1, help="of each load; 0 for none")
    pin(THEIRS)
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "moving").mkdir()
        anyio.run(measure, Path(name), parser.parse_args())


if __name__ == "__main__":
    main()
