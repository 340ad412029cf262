"""Tasks from the watchlist to the receiver."""

import json

import anyio
import pytest

from tests.acceptance.daemon import PATIENCE, Daemon, Site, add

pytestmark = pytest.mark.anyio


async def test_forty_tasks_are_followed_to_their_ends(site: Site) -> None:
    names = [f"task_{number}" for number in range(40)]
    ends = ["COMPLETED", "FAILED", "CANCELED", "COMPLETED_WITH_ERRORS", "SKIPPED"]
    async with site.daemon() as daemon:
        added = await site.command(daemon, "add", *names, "--label", "team=search")
        assert added.stdout == b"40 added, 0 already watched\n"
        for status in ("PENDING", "IN_PROGRESS"):
            for name in names:
                site.upstream.set(name, status)
            await site.until_received(f"task.{status.lower()}", 40)
        for number, name in enumerate(names):
            site.upstream.set(name, ends[number % 5])
        waited = await site.command(daemon, "wait", *names, "--timeout", "30s")
        await site.until(lambda: len(site.receiver.accepted()) == 120)
        listed = json.loads(
            (await site.command(daemon, "ls", "--json", "--label", "team=search")).stdout
        )
        assert await daemon.stop() == 0

    assert waited.returncode == 1
    assert site.sequences() == {name: [1, 2, 3] for name in names}
    assert {item["state"] for item in listed} == {"done"}
    assert len({received.event_id for received in site.receiver.received}) == 120


async def add_tasks(site: Site, daemon: Daemon, count: int) -> None:
    for number in range(count):
        status = "FAILED" if number % 2 else "IN_PROGRESS"
        site.upstream.set(f"task_{number}", status, error_message=f"text {number % 50}")
    names = [f"task_{number}" for number in range(count)]
    for start in range(0, count, 1000):
        await add(daemon, *names[start : start + 1000])


async def series_after(daemon: Daemon, transitions: int) -> dict[str, float]:
    """Return every time series once so many transitions are counted."""
    async with daemon.client() as client:
        with anyio.fail_after(PATIENCE):
            while True:
                lines = (await client.get("/metrics")).text.splitlines()
                samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
                series = {name: float(value) for name, _, value in samples}
                counters = (n for n in series if n.startswith("watcher_transitions_total"))
                if sum(series[name] for name in counters) == transitions:
                    return series
                await anyio.sleep(0.05)


async def test_ten_thousand_tasks_make_no_more_series_than_ten(site: Site) -> None:
    no_task_route = json.dumps([{"channels": ["backend"], "events": ["source.*"]}])
    async with site.daemon(WATCHER_ROUTES=no_task_route) as daemon:
        await add_tasks(site, daemon, 10)
        few = await series_after(daemon, 10)
        await add_tasks(site, daemon, 10_000)
        many = await series_after(daemon, 10_000)
    assert many.keys() == few.keys()


async def test_a_second_daemon_on_the_same_store_is_rejected(site: Site) -> None:
    async with site.daemon():
        second = await site.command(None, "run")
    assert second.returncode == 2
    assert b"another watcher already uses" in second.stderr
    assert len(second.stderr.splitlines()) == 1
