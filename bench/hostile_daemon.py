"""What peers that mean harm cost the installed daemon: every one of `tests.support.hostile_answers`
at once, each as a source with some tasks and as a channel of every event, beside a healthy source
and a healthy channel.

    python -m bench.hostile_daemon [SECONDS]

Reported are the peak of resident memory, how long `/healthz` takes at most on a new connection (as
long as the loop is held), and how long from the storing of an event to its arrival at the healthy
receiver. The limits of the last line are promises.
"""

import asyncio
import json
import sys
import tempfile
from datetime import datetime
from pathlib import Path

import httpx
import uvloop

from bench.listeners import Site, probe, served
from bench.processes import (
    SECRET,
    THEIRS,
    daemon,
    free_port,
    peak_mebibytes,
    percentile,
    pin,
    server,
)
from tests.support.hostile_answers import NAMES

SECONDS = 60.0
TASKS = 25
HOSTILE_TASKS = 8
_PROBE_EVERY = 0.05


def settings(urls: tuple[str, str], hostile: str) -> dict[str, str]:
    """Return the variables of a daemon between all of them."""
    peers = {name: f"{hostile}/{name.replace(' ', '_')}" for name in NAMES}
    names = {name: f"peer-{number}" for number, name in enumerate(peers)}
    sources = {"mixpeek": urls[0], **{names[name]: url for name, url in peers.items()}}
    channels = {"backend": urls[1], **{names[name]: url for name, url in peers.items()}}
    return {
        "WATCHER_SOURCES": json.dumps(
            [
                {"name": name, "base_url": url, "requests_per_minute": None}
                for name, url in sources.items()
            ]
        ),
        "WATCHER_CHANNELS": json.dumps(
            [
                {"name": name, "type": "webhook", "url": url, "secrets": [SECRET]}
                for name, url in channels.items()
            ]
        ),
        "WATCHER_POLLING__MAX_INTERVAL": "1s",
    }


async def watch(port: int) -> None:
    """Add the tasks, once the daemon is ready."""
    while await probe(port) > 1:
        await asyncio.sleep(0.1)
    entries = [{"task_id": f"task_{number}", "source": "mixpeek"} for number in range(TASKS)]
    entries += [
        {"task_id": f"task_{number}", "source": f"peer-{peer}"}
        for peer in range(len(NAMES))
        for number in range(HOSTILE_TASKS)
    ]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        (await client.post("/v1/watches", json=entries)).raise_for_status()


def delays(site: Site) -> list[float]:
    """Return for each arrived event the milliseconds since it was stored."""
    return [
        (at - datetime.fromisoformat(json.loads(body)["timestamp"]).timestamp()) * 1000
        for _, at, body in site.webhooks
    ]


async def measure(folder: Path, hostile: str, seconds: float) -> None:
    """Run it, and print a line."""
    site, port = Site(), free_port()
    async with served(site) as urls, asyncio.TaskGroup() as tasks:
        changing = tasks.create_task(site.change())
        with daemon(folder, urls[0], port, **settings(urls, hostile)) as process:
            await watch(port)
            ends = asyncio.get_running_loop().time() + seconds
            probes = []
            while asyncio.get_running_loop().time() < ends:
                probes.append(await probe(port))
                await asyncio.sleep(_PROBE_EVERY)
            peak = peak_mebibytes(process.pid)
            changing.cancel()
            # Until its end the receiver here has to answer: the daemon waits for it.
            process.terminate()
            await asyncio.to_thread(process.wait)
    waited = delays(site)
    print(
        f"{len(NAMES)} hostile sources and channels: peak {peak:.0f} MiB, /healthz p99"
        f" {percentile(probes, 0.99) * 1000:.0f} ms, at most {max(probes) * 1000:.0f} ms; healthy:"
        f" stored -> there p50 {percentile(waited, 0.5):.0f} ms, p99"
        f" {percentile(waited, 0.99):.0f} ms of {len(waited)} events ({site.changes} changes)"
    )
    print("limits: peak 128 MiB, turn 200 ms, healthy p99 100 ms")


def main() -> None:
    """Measure."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    pin(THEIRS)
    with (
        tempfile.TemporaryDirectory() as name,
        server("bench.hostile_peers", Path(name)) as (_, hostile),
    ):
        uvloop.run(measure(Path(name), hostile, seconds))


if __name__ == "__main__":
    main()
