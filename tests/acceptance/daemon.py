"""The installed command as a process, between a real upstream and a real receiver on loopback."""

import json
import os
import re
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx
from anyio.abc import Process

from tests.support.event_schema import fault_of
from tests.support.records import SECRET
from watcher.testing.mixpeek_server import FakeUpstream
from watcher.testing.receiver import Receiver

COMMAND = str(Path(sys.executable).with_name("watcher"))
API_KEY = "sk_made_up"
PATIENCE = 60.0


@dataclass
class Daemon:
    """One run of `watcher run`; `log` grows while it runs."""

    process: Process
    url: str
    environ: Mapping[str, str]
    log: list[str] = field(default_factory=list)

    async def ended(self) -> int:
        """Wait until the process has ended; return its exit code."""
        with anyio.fail_after(PATIENCE):
            return await self.process.wait()

    async def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return await self.ended()

    def client(self, headers: Mapping[str, str] | None = None) -> httpx.AsyncClient:
        """Return a client of the API, which waits as long as everything else here."""
        return httpx.AsyncClient(
            base_url=self.url, trust_env=False, timeout=PATIENCE, headers=headers
        )

    async def metrics(self) -> str:
        """Return what Prometheus would scrape."""
        async with self.client() as client:
            return (await client.get("/metrics")).text

    def messages(self, level: str = "") -> list[str]:
        """Return the logged messages, of one level or all."""
        lines = [json.loads(line) for line in self.log]
        return [line["message"] for line in lines if level in ("", line["level"])]


class Site:
    """A folder for the store, an upstream, a receiver, and the daemons started between them."""

    def __init__(
        self, folder: Path, upstream: FakeUpstream, upstream_url: str, receiver: Receiver, hook: str
    ) -> None:
        self.upstream = upstream
        self.receiver = receiver
        self.hook = hook
        self.environ: dict[str, str] = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("WATCHER", "MIXPEEK"))
            },
            "MIXPEEK_API_KEY": API_KEY,
            "MIXPEEK_BASE_URL": upstream_url,
            "WATCHER_SOURCES": json.dumps([{"requests_per_minute": None, "timeout": "2s"}]),
            "WATCHER_CHANNELS": json.dumps(
                [
                    {
                        "name": "backend",
                        "type": "webhook",
                        "url": hook,
                        "secrets": [SECRET],
                        "attempts": ["0s"] + ["1s"] * 99,
                    }
                ]
            ),
            "WATCHER_ROUTES": json.dumps([{"channels": ["backend"], "initial": True}]),
            "WATCHER_POLLING__MIN_INTERVAL": "100ms",
            "WATCHER_POLLING__MAX_INTERVAL": "300ms",
            "WATCHER_STORE__URL": f"sqlite:///{folder}/watcher.db",
            "WATCHER_SERVER__PORT": "0",
        }

    @asynccontextmanager
    async def daemon(self, **environ: str) -> AsyncIterator[Daemon]:
        """Start a daemon; kill it at the end if it still runs."""
        variables = {**self.environ, **environ}
        process = await anyio.open_process(
            [COMMAND, "run"],
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        async with anyio.create_task_group() as tasks:
            daemon = Daemon(process, "", variables)
            try:
                with anyio.fail_after(PATIENCE):
                    daemon.url = await tasks.start(_read_log, daemon)
                yield daemon
            finally:
                if process.returncode is None:
                    process.kill()
                with anyio.CancelScope(shield=True):
                    await process.wait()
                    await process.aclose()
            tasks.cancel_scope.cancel()

    async def command(
        self, daemon: Daemon | None, *arguments: str, **environ: str
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command for the daemon to its end."""
        variables = {**self.environ, **({"WATCHER_URL": daemon.url} if daemon else {}), **environ}
        with anyio.fail_after(PATIENCE):
            return await anyio.run_process([COMMAND, *arguments], env=variables, check=False)

    async def json(self, daemon: Daemon, *arguments: str) -> Any:
        """Run a command that succeeds, and return its JSON output."""
        finished = await self.command(daemon, *arguments, "--json")
        assert finished.returncode == 0, finished.stderr.decode()
        return json.loads(finished.stdout)

    def event_types(self) -> list[str]:
        """Return the types of the accepted webhooks, in order of arrival."""
        return [received.event["type"] for received in self.receiver.accepted()]

    def sequences(self) -> dict[str, list[int]]:
        """Return the sequence numbers that arrived for each task, without repeated webhooks."""
        sequences: dict[str, list[int]] = defaultdict(list)
        event_ids = set()
        for received in self.receiver.accepted():
            assert received.verified
            data = received.event["data"]
            if received.event_id not in event_ids and "task_id" in data:
                sequences[data["task_id"]].append(data["sequence"])
            event_ids.add(received.event_id)
        return sequences

    async def until_received(self, event_type: str, count: int) -> None:
        """Wait until the receiver has accepted so many webhooks of this type."""
        await self.until(lambda: self.event_types().count(event_type) == count)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until `condition()` is true. Other processes send no event, so this polls."""
        with anyio.fail_after(PATIENCE):
            while not condition():
                await anyio.sleep(0.02)


async def _read_log(daemon: Daemon, *, task_status: anyio.abc.TaskStatus[str]) -> None:
    assert daemon.process.stderr is not None
    incomplete = b""
    started = False
    async for chunk in daemon.process.stderr:
        *lines, incomplete = (incomplete + chunk).split(b"\n")
        daemon.log += [line.decode() for line in lines]
        for line in lines:
            url = re.search(rb"the API listens on ((?:https?|unix)://[^\"\s]+)", line)
            if url and not started:
                started = True
                task_status.started(url[1].decode())
    if not started:
        raise AssertionError(f"the daemon ended at once: {daemon.log}")


@asynccontextmanager
async def site_in(folder: Path) -> AsyncIterator[Site]:
    """Set up a site in `folder`. Whatever it sends has to match the events' JSON Schema."""
    upstream = FakeUpstream(api_key=API_KEY)
    receiver = Receiver(SECRET)
    async with upstream.serve() as upstream_url, receiver.serve() as receiver_url:
        yield Site(folder, upstream, upstream_url, receiver, f"{receiver_url}/hook")
    faults = [fault_of(received.body) for received in receiver.received]
    assert not any(faults), faults


async def add(daemon: Daemon, *task_ids: str, headers: Mapping[str, str] | None = None) -> None:
    """Add tasks through the API, which is faster than the command."""
    async with daemon.client(headers) as client:
        response = await client.post(
            "/v1/watches", json=[{"task_id": task_id} for task_id in task_ids]
        )
        response.raise_for_status()
