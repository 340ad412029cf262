"""An accepted socket before it is a connection: until its first byte, and its TLS handshake."""

import asyncio
import socket
from typing import Protocol

from watcher.api.listener import Listener
from watcher.api.turns import Party

_HANDSHAKE = 0.002
"""Seconds that a TLS handshake counts for: it is the transport's, and not measured."""


class Arriving(Party, Protocol):
    """The connection that the socket becomes."""

    address: str

    def as_protocol(self) -> asyncio.BaseProtocol:
        """Return what the transport calls."""
        ...

    def closed_early(self) -> None:
        """Note that the socket was closed before any transport was made."""
        ...


class Arrival:
    """Waits for the first byte; until then a connection is no more than a socket."""

    def __init__(self, listener: Listener, connection: Arriving, accepted: socket.socket) -> None:
        self._listener = listener
        self._connection = connection
        self._socket = accepted
        self._loop = asyncio.get_running_loop()
        self._opening: asyncio.Task[bool] | None = None

    @property
    def silent(self) -> bool:
        """Whether nothing has been sent."""
        return self._opening is None

    def wait(self) -> None:
        """Wait for the first byte."""
        self._socket.setblocking(False)
        self._loop.add_reader(self._socket, self._begin)

    def abort(self) -> None:
        """Close the socket."""
        if self._opening is not None:
            self._opening.cancel()
        else:
            self._loop.remove_reader(self._socket)
            self._close()

    def _begin(self) -> None:
        self._loop.remove_reader(self._socket)
        self._opening = self._loop.create_task(self._open())
        self._opening.add_done_callback(self._opened)

    async def _open(self) -> bool:
        tls = self._listener.tls()
        try:
            await self._loop.connect_accepted_socket(
                self._connection.as_protocol,
                self._socket,
                ssl=tls,
                ssl_handshake_timeout=self._listener.limits.request_within if tls else None,
            )
        except OSError:
            # Python's and OpenSSL's errors of a failed handshake are all of this kind.
            self._listener.rejections.add(self._connection.address, "sent no valid TLS")
            return False
        finally:
            if tls:
                self._listener.turns.charge(self._connection, _HANDSHAKE)
        return True

    def _opened(self, opening: "asyncio.Task[bool]") -> None:
        if opening.cancelled() or opening.exception() is not None or not opening.result():
            self._close()

    def _close(self) -> None:
        self._socket.close()
        self._connection.closed_early()
