"""One daemon of `bench.monitoring`: its process, its traffic, and an upstream and a receiver that
can close and open again on their ports.
"""

import asyncio
import json
import os
import random
import signal
import socket
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import httpx

from bench.processes import COMMAND, SECRET
from watcher.testing.mixpeek_server import FakeUpstream
from watcher.testing.receiver import Receiver

API_KEY = "sk_made_up"
TRAFFIC_EVERY = 20.0
"""Seconds after which a task is added, another one runs, and a third one ends."""
LASTING = 5
"""Tasks that run all the time; one after the other changes between two statuses."""
PATIENCE = 120.0
"""Seconds that a start may take while everything else starts, too."""
STOPPING = 20.0
_REMOVED_TOGETHER = 25
_TASK_TYPE = "api_buckets_batches_process"
_PORTS = range(15_000, 30_000)
"""Below those that the kernel gives to outgoing connections, so a port stays free for a restart."""
_taken: set[int] = set()


def port() -> int:
    """Return a port that is free, and that nothing else of this run gets."""
    for number in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", number))
            if number not in _taken:
                _taken.add(number)
                return number
    raise RuntimeError("no free port")


class Peer:
    """A server on a port of its own."""

    def __init__(self, serve: Callable[[int], AbstractAsyncContextManager[str]]) -> None:
        self._serve = serve
        self._port = port()
        self._stack = AsyncExitStack()
        self.url = f"http://127.0.0.1:{self._port}"

    async def open(self) -> None:
        """Listen."""
        await self._stack.enter_async_context(self._serve(self._port))

    async def close(self) -> None:
        """Close the listener and all connections."""
        await self._stack.aclose()


class Monitored:
    """A daemon with its peers. `settings` are sections of the configuration; the section `source`
    is added to the only source.
    """

    def __init__(
        self, name: str, folder: Path, client: httpx.AsyncClient, settings: Mapping[str, Any]
    ) -> None:
        self.name = name
        self.folder = folder / name.replace(" ", "-")
        self.folder.mkdir()
        self.upstream, self.receiver = FakeUpstream(api_key=API_KEY), Receiver(SECRET)
        self.source, self.channel = Peer(self.upstream.serve), Peer(self.receiver.serve)
        self.port = port()
        self.target = f"127.0.0.1:{self.port}"
        """The address that Prometheus scrapes."""
        self.busy = True
        """Whether tasks are added, change and end."""
        self.unchanged: set[str] = set()
        """Tasks that do not change."""
        self.process: Process | None = None
        self.background: asyncio.Task[None] | None = None
        """What keeps the fault up, if something has to."""
        self._client = client
        self._settings = settings
        self._numbers = 0
        self.store = self.folder
        self._file = self.folder / "watcher.yaml"

    # The process

    async def start(self) -> None:
        """Start the daemon, and wait until it is ready."""
        self.configure()
        with (self.folder / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(COMMAND, "run"), env=self._environ(), stdin=DEVNULL, stdout=DEVNULL, stderr=log
            )
        async with asyncio.timeout(PATIENCE):
            while not await self._ready():
                if self.process.returncode is not None:
                    raise RuntimeError(f"{self.name}: {(self.folder / 'log').read_text()[-2000:]}")
                await asyncio.sleep(0.5)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the daemon if it runs."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)

    async def kill(self) -> None:
        """End the daemon at once."""
        self.signal(signal.SIGKILL)
        if self.process is not None:
            await self.process.wait()

    async def restart(self) -> None:
        """Stop the daemon as a service manager does, and start it again."""
        self.signal(signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(STOPPING):
                assert self.process is not None
                await self.process.wait()
        await self.kill()
        await self.start()

    async def close(self) -> None:
        """End everything."""
        if self.background is not None:
            self.background.cancel()
        await self.kill()
        await self.channel.close()
        await self.source.close()

    def configure(self, level: str = "warning") -> None:
        """Write the configuration, with this level of the log."""
        settings = dict(self._settings)
        source = {"base_url": self.source.url, **settings.pop("source", {})}
        hook = f"{self.channel.url}/hook"
        channel = {"name": "backend", "type": "webhook", "url": hook, "secrets": [SECRET]}
        sections = {
            "sources": [source],
            "channels": [channel],
            "server": {"port": self.port},
            "store": {"url": f"sqlite:///{self.store}/watcher.db", **settings.pop("store", {})},
            "log": {"level": level},
            **settings,
        }
        self._file.touch(mode=0o600)
        self._file.write_text(json.dumps(sections))

    def _environ(self) -> Mapping[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("WATCHER", "MIXPEEK"))
        }
        return {**kept, "MIXPEEK_API_KEY": API_KEY, "WATCHER_CONFIG": str(self._file)}

    async def _ready(self) -> bool:
        return await self.call("GET", "/readyz") == 200

    # The API

    async def call(self, method: str, path: str, content: Any = None) -> int:
        """Send a request to the daemon's API; return the status, or 0 if there was no response."""
        try:
            response = await self._client.request(
                method, f"http://{self.target}{path}", json=content
            )
        except httpx.HTTPError:
            return 0
        return response.status_code

    async def retry(self) -> None:
        """Retry all deliveries that have failed or wait for an attempt, as an operator does."""
        url = f"http://{self.target}/v1/deliveries"
        with suppress(httpx.HTTPError):
            await self._client.post(f"{url}/retry", json={"channel": "backend"})
            pending = await self._client.get(url, params={"state": "pending", "limit": 1000})
            for delivery in pending.json()["items"]:
                await self._client.post(f"{url}/{delivery['id']}/retry", json={})

    async def watch(self, *task_ids: str, status: str = "IN_PROGRESS", **fields: Any) -> int:
        """Have upstream run tasks, and watch them; return the status of the API's answer."""
        for task_id in task_ids:
            self.upstream.set(task_id, status, task_type=_TASK_TYPE)
        return await self.call(
            "POST", "/v1/watches", [{"task_id": task_id, **fields} for task_id in task_ids]
        )

    async def unwatch(self, prefix: str) -> None:
        """Remove the tasks whose IDs begin so."""
        names = [name for name in self.upstream.api.tasks if name.startswith(prefix)]
        for first in range(0, len(names), _REMOVED_TOGETHER):
            part = names[first : first + _REMOVED_TOGETHER]
            await asyncio.gather(*(self.call("DELETE", f"/v1/watches/{name}") for name in part))
            for name in part:
                self.upstream.remove(name)

    # The traffic

    async def live(self) -> None:
        """Let tasks come, run and end, until this is cancelled."""
        await self.watch(*(f"lasting_{number}" for number in range(LASTING)))
        await asyncio.sleep(random.uniform(0, TRAFFIC_EVERY))
        while True:
            if self.busy:
                await self._proceed()
            await asyncio.sleep(TRAFFIC_EVERY)

    async def _proceed(self) -> None:
        number = self._numbers = self._numbers + 1
        if number > 1:
            self.upstream.set(f"task_{number - 1}", "IN_PROGRESS")
        if number > 2:
            ended = "FAILED" if number % 5 == 0 else "COMPLETED"
            self.upstream.set(f"task_{number - 2}", ended)
        if (lasting := f"lasting_{number % LASTING}") not in self.unchanged:
            status = "PROCESSING" if number // LASTING % 2 else "IN_PROGRESS"
            self.upstream.set(lasting, status)
        await self.watch(f"task_{number}", status="PENDING")
