"""One process of a scenario, and the disk that all of them use."""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random

import aiosqlite
import anyio
import anyio.abc
import httpx

from tests.delivery.harness import Harness, ScriptedChannel
from tests.delivery.ordering.receiver import DIGEST_OF, Receiver
from tests.simulation.disk import Disk, InlineConnection, as_connection
from tests.simulation.loop import SimulationLoop
from tests.support.stores import system_events
from watcher.channels import webhook
from watcher.core.clock import Clock
from watcher.core.deliveries import Message, Receipt
from watcher.core.errors import StoreError
from watcher.core.routing import Routing
from watcher.core.settings import RouteSettings
from watcher.core.tasks import Watch
from watcher.daemon.units import DELIVERY_GRACE
from watcher.delivery.dispatcher import Dispatcher
from watcher.stores.sqlite import store as sqlite


class SwitchedDisk(Disk):
    """A disk on which every write fails while `full`."""

    def __init__(self, committed: Callable[[], None]) -> None:
        super().__init__((), Random(1), committed)
        self.full = False

    async def before(self, sql: str) -> None:
        await super().before(sql)
        if self.full and not sql.startswith(("SELECT", "PRAGMA", "ROLLBACK", "WITH")):
            error = sqlite3.OperationalError("the disk is full")
            error.sqlite_errorname = "SQLITE_FULL"
            raise error


class Digests(webhook.WebhookChannel):
    """A webhook channel that combines events: the body of a digest names them."""

    digest_most = 6

    def choose(self, waiting: Sequence[Message]) -> Sequence[int]:
        return range(min(len(waiting), self.digest_most))

    async def send_digest(self, messages: Sequence[Message]) -> Receipt:
        ids = DIGEST_OF.join(message.event_id for message in messages)
        body = json.dumps({"type": "digest", "data": {"events": ids}}).encode()
        return await self.send(Message(event_id=ids, type="digest", body=body))


class Running:
    """The dispatcher of one channel, which runs until `stop` or until its process is killed."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.dispatcher = dispatcher
        self._scope = anyio.CancelScope()
        self._ended = anyio.Event()

    async def run(self) -> None:
        try:
            with self._scope:
                await self.dispatcher.run()
        finally:
            self._ended.set()

    async def stop(self) -> None:
        """End in order."""
        with anyio.move_on_after(DELIVERY_GRACE):
            await self.dispatcher.close()
        self._scope.cancel()
        await self._ended.wait()


class Process:
    """One process: the store, and the dispatchers of the channels with `receivers` and of one that
    receives their alerts. A kill closes everything at one moment.
    """

    def __init__(
        self,
        path: Path,
        disk: Disk,
        receivers: Mapping[str, Receiver],
        watches: dict[str, Watch],
        wall: Clock,
    ) -> None:
        self._path = path
        self._disk = disk
        self._receivers = receivers
        self._watches = watches
        self._wall = wall
        self._connections: list[InlineConnection] = []
        self._scope = anyio.CancelScope()
        self._ended = anyio.Event()
        self._running: dict[str, Running] = {}
        self.dead = False
        self.harness: Harness

    async def run(
        self,
        settings: Sequence[webhook.Settings],
        *,
        task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        opening = sqlite.create(f"sqlite:///{self._path}", wall=self._wall, opener=self._open)
        try:
            with self._scope, suppress(StoreError):
                async with opening as store, anyio.create_task_group() as self._tasks:
                    self.harness = harness = Harness(store)
                    harness.watches = self._watches
                    alerts = harness.dispatcher(ScriptedChannel(), "alerts", wall=self._wall)
                    self._tasks.start_soon(alerts.run)
                    for channel in settings:
                        self.start(channel)
                    task_status.started()
        finally:
            self._ended.set()

    def start(self, settings: webhook.Settings) -> None:
        """Start the dispatcher of one channel."""
        wall = self._wall
        transport = _Transport(self, self._receivers[settings.name])
        kind = Digests if settings.name == "people" else webhook.WebhookChannel
        routing = Routing([RouteSettings(channels=("alerts",))], ["alerts"])
        context = replace(
            self.harness.context(settings.name, wall=wall),
            settings=settings,
            system_event=system_events(routing),
        )
        running = Running(Dispatcher(kind(settings, transport, wall), context))
        self._running[settings.name] = running
        self._tasks.start_soon(running.run)

    def running(self, channel: str) -> Running:
        return self._running[channel]

    def dispatcher(self, channel: str) -> Dispatcher:
        return self._running[channel].dispatcher

    def kill(self) -> None:
        """End at once."""
        self.dead = True
        for connection in self._connections:
            connection.killed()
        self._scope.cancel()

    async def stop(self) -> None:
        """End in order."""
        async with anyio.create_task_group() as stopping:
            for running in self._running.values():
                stopping.start_soon(running.stop)
        self._scope.cancel()
        await self._ended.wait()

    async def killed_after(self, awaits: int) -> None:
        """End at once after so many awaits, or after a while in which there are fewer."""
        current_loop().light_fuse(awaits, self.kill)
        with anyio.move_on_after(30.0):
            await self._ended.wait()
        self.kill()
        await self._ended.wait()

    async def _open(self, path: Path) -> aiosqlite.Connection:
        connection = InlineConnection(path, self._disk)
        self._connections.append(connection)
        return as_connection(connection)


class _Transport(httpx.AsyncBaseTransport):
    """Reaches a receiver until its process is dead."""

    def __init__(self, process: Process, receiver: Receiver) -> None:
        self._process = process
        self._receiver = receiver

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._process.dead:
            raise httpx.ConnectError("the process was killed")
        return await self._receiver.handle_async_request(request)


def current_loop() -> SimulationLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulationLoop)
    return loop
