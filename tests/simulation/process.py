"""One process of the daemon: what runs between a start and an end, in order or by a kill.

Everything through which a process reaches the world is a seam here. A kill closes all of them at
one moment; whatever the process still does after it reaches nothing.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

import aiosqlite
import anyio
import httpx
from prometheus_client import CollectorRegistry

from tests.simulation.disk import Disk, InlineConnection, as_connection
from watcher.core.settings import Settings
from watcher.daemon.build import Surroundings
from watcher.daemon.daemon import Daemon
from watcher.daemon.reload import ReloadRequests
from watcher.stores.sqlite import store as sqlite
from watcher.telemetry.metrics import Metrics

Answer = Callable[[httpx.Request], Awaitable[httpx.Response]]


class Process:
    """Runs the daemon on the store at `path`. `wall` is its wall clock, `random` its randomness.

    `upstream` and `receivers` answer its requests. `ready_at` is when everything ran, in virtual
    seconds.
    """

    def __init__(
        self,
        path: Path,
        disk: Disk,
        *,
        wall: Callable[[], float],
        random: Random,
        upstream: Answer,
        receivers: Callable[[str], Answer],
    ) -> None:
        self.daemon: Daemon | None = None
        self.metrics = Metrics(CollectorRegistry(), "simulation")
        self.ready_at: float | None = None
        self.dead = False
        self._stopped_at: float | None = None
        self._path = path
        self._disk = disk
        self._wall = wall
        self._connections: list[InlineConnection] = []
        self._scope = anyio.CancelScope()
        self._requests = ReloadRequests()
        self._surroundings = Surroundings(
            wall=wall,
            random=lambda: Random(random.getrandbits(64)),
            random_bytes=random.randbytes,
            source_transport=lambda settings: _Transport(self, upstream),
            channel_transport=lambda settings: _Transport(self, receivers(settings.name)),
        )

    async def run(self, settings: Settings) -> Exception | None:
        """Run until the end; return the error that ended it, None after a kill or an order."""
        error: Exception | None = None
        with self._scope:
            try:
                await self._run(settings)
            except* Exception as group:  # noqa: BLE001  # whatever ends a daemon is shown
                error = _first(group)
            finally:
                self.daemon = None
        return None if self.dead else error

    async def _run(self, settings: Settings) -> None:
        opening = sqlite.create(
            f"sqlite:///{self._path}", wall=self._wall, opener=self._open, failed=lambda: None
        )
        async with opening as store:
            daemon = Daemon(settings, store, self.metrics, self._surroundings)
            self.daemon = daemon
            await daemon.run(settings, self._requests, self._applied)

    def reload(self, settings: Settings) -> None:
        """Run with these settings, unless it is stopping."""
        self._requests.reload(settings)

    @property
    def stopping_for(self) -> float:
        """For how many seconds it has been stopping in order."""
        return 0.0 if self._stopped_at is None else anyio.current_time() - self._stopped_at

    def stop(self) -> None:
        """Stop in order."""
        self._stopped_at = anyio.current_time()
        self._requests.stop()

    def kill(self) -> None:
        """End at once."""
        self.dead = True
        self.daemon = self._stopped_at = None
        for connection in self._connections:
            connection.killed()
        self._scope.cancel()

    def _applied(self, sources_changed: bool) -> None:
        if sources_changed:
            self.ready_at = anyio.current_time()

    async def _open(self, path: Path) -> aiosqlite.Connection:
        connection = InlineConnection(path, self._disk)
        self._connections.append(connection)
        return as_connection(connection)


class _Transport(httpx.AsyncBaseTransport):
    def __init__(self, process: Process, answer: Answer) -> None:
        self._process = process
        self._answer = answer

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._process.dead:
            raise httpx.ConnectError("the process was killed")
        response = await self._answer(request)
        if self._process.dead:
            raise httpx.ReadError("the process was killed")
        return response


def _first(group: ExceptionGroup[Exception]) -> Exception:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error
