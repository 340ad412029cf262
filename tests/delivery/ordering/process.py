"""One process of a scenario, and the disk that all of them use."""

import asyncio
import sqlite3
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random

import aiosqlite
import anyio
import anyio.abc
import httpx

from tests.delivery.harness import Harness, ScriptedChannel, running
from tests.delivery.ordering.receiver import Receiver
from tests.simulation.disk import Disk, InlineConnection, as_connection
from tests.simulation.loop import SimulationLoop
from watcher.channels import webhook
from watcher.core.errors import StoreError
from watcher.core.tasks import Watch
from watcher.daemon.units import DELIVERY_GRACE
from watcher.delivery.dispatcher import Dispatcher
from watcher.delivery.notes import InMemoryNotes
from watcher.stores.sqlite import store as sqlite


class SwitchedDisk(Disk):
    """A disk on which every write fails while `full`."""

    def __init__(self) -> None:
        super().__init__((), Random(1), lambda: None)
        self.full = False

    async def before(self, sql: str) -> None:
        await super().before(sql)
        if self.full and not sql.startswith(("SELECT", "PRAGMA", "ROLLBACK", "WITH")):
            error = sqlite3.OperationalError("the disk is full")
            error.sqlite_errorname = "SQLITE_FULL"
            raise error


class Process(httpx.AsyncBaseTransport):
    """One process: the store, and the dispatchers of the channel and of one that receives its
    alerts. A kill closes everything at one moment.
    """

    def __init__(
        self, path: Path, disk: Disk, receiver: Receiver, watches: dict[str, Watch]
    ) -> None:
        self._path = path
        self._disk = disk
        self._receiver = receiver
        self._watches = watches
        self._connections: list[InlineConnection] = []
        self._scope = anyio.CancelScope()
        self._ended = anyio.Event()
        self.dead = False
        self.harness: Harness
        self.dispatcher: Dispatcher

    async def run(
        self,
        settings: webhook.Settings,
        *,
        task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        wall = self._receiver.wall
        try:
            with self._scope, suppress(StoreError):
                async with sqlite.create(
                    f"sqlite:///{self._path}", wall=wall, opener=self._open
                ) as store:
                    self.harness = harness = Harness(store)
                    harness.watches = self._watches
                    channel = webhook.create(
                        settings, transport=self, notes=InMemoryNotes(), wall=wall
                    )
                    context = replace(harness.context(wall=wall), settings=settings)
                    self.dispatcher = Dispatcher(channel, context)
                    alerts = harness.dispatcher(ScriptedChannel(), "alerts", wall=wall)
                    async with running(self.dispatcher, alerts):
                        task_status.started()
                        await anyio.sleep_forever()
        finally:
            self._ended.set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.dead:
            raise httpx.ConnectError("the process was killed")
        return await self._receiver.handle_async_request(request)

    def kill(self) -> None:
        """End at once."""
        self.dead = True
        for connection in self._connections:
            connection.killed()
        self._scope.cancel()

    async def stop(self) -> None:
        """End in order."""
        with anyio.move_on_after(DELIVERY_GRACE):
            await self.dispatcher.close()
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


def current_loop() -> SimulationLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulationLoop)
    return loop
