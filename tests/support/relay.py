"""A way to a PostgreSQL server on which packets vanish, and no connection ends for that."""

from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field

import anyio
from anyio.abc import SocketAttribute, SocketStream

from tests.support.postgresql import Server

REQUESTS, RESPONSES = "requests", "responses"
HELD = "held"
"""Both directions, and what is sent arrives later."""


@dataclass
class Relay:
    """Relays connections to `server`. A connection on which something was lost stays silent."""

    server: Server
    port: int = 0
    lost: Collection[str] = ()
    """The directions in which everything is lost now."""
    lost_from: bytes | None = None
    """The request with which `lost` applies, to its connection alone; without it, to all now."""
    connections: int = 0
    """How many were opened."""
    losses: int = 0
    """How often something was lost."""
    _restored: anyio.Event = field(default_factory=anyio.Event)

    def url(self, database: str) -> str:
        return f"postgresql://watcher@127.0.0.1:{self.port}/{database}"

    @contextmanager
    def losing(self, *directions: str, from_request: bytes | None = None) -> Iterator[None]:
        """Lose what is sent within; with `from_request`, what follows the first request that
        contains it, on its connection alone: the response to another one may come before its own.
        """
        self.lost, self.lost_from, self._restored = directions, from_request, anyio.Event()
        try:
            yield
        finally:
            self.lost, self.lost_from = (), None
            self._restored.set()

    async def relay(self, client: SocketStream) -> None:
        """Relay one connection until the server ends it."""
        self.connections += 1
        silent = set[str]()
        try:
            async with (
                client,
                await anyio.connect_unix(self.server.socket) as server,
                anyio.create_task_group() as tasks,
            ):
                tasks.start_soon(self._copy, client, server, REQUESTS, silent)
                await self._copy(server, client, RESPONSES, silent)
                tasks.cancel_scope.cancel()
        except OSError:
            return

    async def _copy(
        self, source: SocketStream, target: SocketStream, direction: str, silent: set[str]
    ) -> None:
        with suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            async for data in source:
                if HELD in self.lost:
                    await self._restored.wait()
                if direction == REQUESTS and self.lost_from is not None and self.lost_from in data:
                    silent.update(self.lost)
                    self.lost, self.lost_from = (), None
                if direction in self.lost and self.lost_from is None:
                    silent.add(direction)
                if direction in silent:
                    self.losses += 1
                else:
                    await target.send(data)


@asynccontextmanager
async def relay_to(server: Server) -> AsyncIterator[Relay]:
    """Relay connections to a free port of loopback within."""
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        relay = Relay(server, listener.extra(SocketAttribute.local_port))
        tasks.start_soon(listener.serve, relay.relay)
        yield relay
        tasks.cancel_scope.cancel()
