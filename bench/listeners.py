"""What hostile clients cost: polling, delivery and probes with sixteen of them at work on both
listeners, as shares of the same daemon without them.

    python -m bench.listeners [SECONDS [KIND]]
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import uvloop

from bench import receiver, upstream
from bench.processes import (
    COMMAND,
    OURS,
    SECRET,
    THEIRS,
    free_port,
    percentile,
    pin,
    resident_mebibytes,
)

SETTLING = 20.0
"""Seconds until tasks are polled as often as they will be: new ones are polled more often, and a
status that returns is believed when it was seen twice."""
BEFORE = 15.0
DURING = 60.0
"""Seconds of measurement without the clients, and with them."""
TASKS = 25
"""Tasks, each polled about once a second: 300 requests in 15 s."""
PATIENCE = 10.0
"""Seconds that a probe waits."""
_CHANGES_EVERY = 0.2
_PROBE_EVERY = 0.25


class Site:
    """The counters of a fake upstream and a receiver."""

    def __init__(self) -> None:
        self.upstream = upstream.Upstream(limit=0, latency=0)
        self.webhooks: list[tuple[bytes, float, bytes]] = []
        self.changes = 0

    async def change(self) -> None:
        """Change a task every so often."""
        while True:
            await asyncio.sleep(_CHANGES_EVERY)
            self.changes += 1
            task_id = f"task_{self.changes % TASKS}"
            before = self.upstream.changed.get(task_id)
            self.upstream.changed[task_id] = b"QUEUED" if before == b"PROCESSING" else b"PROCESSING"

    def counts(self) -> tuple[int, int]:
        """Return the requests and the webhooks so far."""
        return sum(self.upstream.requests.values()), len(self.webhooks)


@asynccontextmanager
async def served(site: Site) -> AsyncIterator[tuple[str, str]]:
    """Serve both in this process."""
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(factory, "127.0.0.1", 0)
        for factory in (
            lambda: upstream.Connection(site.upstream),
            lambda: receiver.Connection(site.webhooks),
        )
    ]
    first, second = (f"http://127.0.0.1:{one.sockets[0].getsockname()[1]}" for one in servers)
    yield first, second
    for server in servers:
        server.close()


@contextmanager
def daemon(folder: Path, ports: tuple[int, int], urls: tuple[str, str]) -> Iterator[int]:
    """Run the installed daemon with both listeners, polling each task once a second."""
    environ = {
        **os.environ,
        "MIXPEEK_API_KEY": "sk_bench",
        "WATCHER_SOURCES": json.dumps([{"base_url": urls[0], "requests_per_minute": None}]),
        "WATCHER_CHANNELS": json.dumps(
            [{"name": "backend", "type": "webhook", "url": urls[1], "secrets": [SECRET]}]
        ),
        "WATCHER_POLLING__MODE": "get",
        "WATCHER_POLLING__MIN_INTERVAL": "1s",
        "WATCHER_POLLING__MAX_INTERVAL": "1s",
        "WATCHER_STORE__URL": f"sqlite:///{folder}/watcher.db",
        "WATCHER_SERVER__PORT": str(ports[0]),
        "WATCHER_TELEMETRY__HOST": "127.0.0.1",
        "WATCHER_TELEMETRY__PORT": str(ports[1]),
        "WATCHER_LOG__LEVEL": "warning",
    }
    process = subprocess.Popen([COMMAND, "run"], env=environ, preexec_fn=lambda: pin(OURS))
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()


@contextmanager
def clients(ports: tuple[int, int], *kind: str) -> Iterator[None]:
    """Run the clients that mean harm."""
    command = [sys.executable, "-m", "bench.hostile_clients", *map(str, ports), *kind]
    process = subprocess.Popen(command, preexec_fn=lambda: pin(THEIRS))
    try:
        yield
    finally:
        process.kill()
        process.wait()


async def probe(port: int) -> float:
    """Return the seconds until the probe is answered, on a connection of its own."""
    began = time.perf_counter()
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
            answered = (await reader.readline()).startswith(b"HTTP/1.1 200")
            writer.close()
    except (OSError, TimeoutError):
        answered = False
    return time.perf_counter() - began if answered else PATIENCE


async def measure(site: Site, pid: int, ports: tuple[int, int], seconds: float) -> dict[str, float]:
    """Return requests and webhooks per 15 s, the probes' slow end, and the most memory."""
    requests, webhooks = site.counts()
    began = time.perf_counter()
    probes: list[float] = []
    most = 0.0
    while time.perf_counter() - began < seconds:
        probes += await asyncio.gather(*(probe(port) for port in ports))
        most = max(most, resident_mebibytes(pid))
        await asyncio.sleep(_PROBE_EVERY)
    passed = (time.perf_counter() - began) / 15
    now = site.counts()
    return {
        "requests": (now[0] - requests) / passed,
        "webhooks": (now[1] - webhooks) / passed,
        "p99": percentile(probes, 0.99),
        "memory": most,
    }


async def until_ready(url: str) -> None:
    """Wait until the daemon answers."""
    async with httpx.AsyncClient(trust_env=False) as client:
        while True:
            try:
                if (await client.get(f"{url}/readyz")).status_code == 200:
                    return
            except httpx.HTTPError:
                await asyncio.sleep(0.05)


async def main(seconds: float, *kind: str) -> None:
    """Measure, and print a line for each part."""
    site = Site()
    ports = free_port(), free_port()
    url = f"http://127.0.0.1:{ports[0]}"
    with tempfile.TemporaryDirectory() as name:
        async with served(site) as (upstream_url, receiver_url):
            with daemon(Path(name), ports, (upstream_url, receiver_url)) as pid:
                await until_ready(url)
                async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
                    entries = [{"task_id": f"task_{number}"} for number in range(TASKS)]
                    (await client.post("/v1/watches", json=entries)).raise_for_status()
                changing = asyncio.create_task(site.change())
                await asyncio.sleep(SETTLING)
                before = await measure(site, pid, ports, BEFORE)
                with clients(ports, *kind):
                    during = await measure(site, pid, ports, seconds)
                changing.cancel()
    for label, figures in (("without", before), ("with", during)):
        print(
            f"{label:8} {figures['requests']:5.0f} requests and {figures['webhooks']:5.0f} "
            f"webhooks in 15 s, /healthz p99 {figures['p99'] * 1000:6.1f} ms, RSS "
            f"{figures['memory']:.1f} MiB"
        )
    print(
        f"{' '.join(kind) or '16 hostile clients'}: polling "
        f"{during['requests'] / before['requests']:.0%}, delivery "
        f"{during['webhooks'] / before['webhooks']:.0%}, RSS "
        f"{during['memory'] - before['memory']:+.1f} MiB"
    )


if __name__ == "__main__":
    pin(THEIRS)
    arguments = sys.argv[1:]
    uvloop.run(main(float(arguments[0]) if arguments else DURING, *arguments[1:2]))
