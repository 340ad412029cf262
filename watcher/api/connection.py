"""One connection of a listener, between its transport, plain or TLS, and uvicorn's protocol.

It reads little at a time, and only in its turns. A client that takes too long to send a request, or
to read a response, is disconnected. After a response to a request that is still being sent, the
rest of it is thrown away for a moment, because a socket that is closed with unread data resets the
connection, and the client might miss the response.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import h11

from watcher.api.arrival import Arrival
from watcher.api.connections import Peer, Urgency
from watcher.api.http_protocol import HttpProtocol, Parser
from watcher.api.listener import Listener
from watcher.api.turns import Account

READ_SIZE = 16 * 1024
"""Bytes that are read at a time."""
FIRST_BYTES_WITHIN = 2.0
"""Seconds for which a connection that was not read yet gives way after all the others only."""
_LINGER = 1.0
"""Seconds for a client to stop sending what nothing reads."""
_LINGER_BYTES = 256 * 1024
_MUCH = 2 * READ_SIZE
"""Bytes; a connection that holds fewer is not worth closing for its memory."""


class AcceptedConnection(asyncio.BufferedProtocol):
    """Reads, takes turns, and is what the listener counts."""

    def __init__(
        self, listener: Listener, peer: Peer, address: str, accepted: socket.socket
    ) -> None:
        self.peer = peer
        self.since = self._accepted_at = listener.turns.clock()
        self.accounts = (peer.account, Account(listener.turns.clock))
        self._listener = listener
        self.address = address
        self._arrival = Arrival(listener, self, accepted)
        self._open = False
        self._transport: asyncio.Transport
        self._http: HttpProtocol
        self._arrived = b""
        self._held_back = False
        self._parsed = False
        self._finishing = False
        self._discarded = 0
        loop = asyncio.get_running_loop()
        self._request_timer = _Timer(loop, self.abort)
        self._response_timer = _Timer(loop, self.abort)
        self._linger_timer = _Timer(loop, self.abort)

    @property
    def urgency(self) -> Urgency | None:
        """How readily it is closed for another one: not while a request is being worked on, nor
        while its first bytes wait for their turn.
        """
        if self._finishing:
            return Urgency.ENDING
        if not self._parsed:
            if self._arrived:
                return None
            if self._listener.turns.clock() - self._accepted_at < FIRST_BYTES_WITHIN:
                return Urgency.FRESH
        if not self._open:
            return Urgency.SILENT if self._arrival.silent else Urgency.PARTIAL
        if self._http.working:
            stalls = self._http.conn.receiving or self._http.flow.write_paused
            return Urgency.BUSY if stalls else None
        if self._arrived:
            return Urgency.BUSY
        return Urgency.PARTIAL if self._http.conn.trailing_data[0] else Urgency.SILENT

    def wait(self) -> None:
        """Wait for the first byte."""
        self._arrival.wait()
        self._request_timer.start(self._listener.limits.request_within)

    def as_protocol(self) -> asyncio.BaseProtocol:
        return self

    def closed_early(self) -> None:
        self.connection_lost(None)

    def abort(self) -> None:
        """Close the connection at once."""
        if self._open:
            self._transport.abort()
        else:
            self._arrival.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        listener = self._listener
        self._transport = cast(asyncio.Transport, transport)
        self._http = HttpProtocol(
            listener.config,
            listener.state,
            clock=listener.turns.clock,
            charge=lambda seconds: listener.turns.charge(self, seconds),
            rejected=lambda what: listener.rejections.add(self.address, what),
            failed=listener.rejections.failed,
            answered=self.answered,
        )
        self._http.connection_made(_SeenByUvicorn(self, self._transport))
        # uvicorn knows no peer of a Unix socket, and shows IPv4 as it is written in IPv6.
        self._http.client = (self.address, self._http.client[1] if self._http.client else 0)
        self._open = True

    def connection_lost(self, exc: Exception | None) -> None:
        self._finishing = True
        for timer in (self._request_timer, self._response_timer, self._linger_timer):
            timer.stop()
        self._listener.turns.drop(self)
        self._listener.connections.leave(self)
        if self._open:
            self._http.connection_lost(exc)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._listener.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._finishing:
            self._discarded += nbytes
            if self._discarded > _LINGER_BYTES:
                self.abort()
            return
        self._arrived += bytes(self._listener.buffer[:nbytes])
        self._transport.pause_reading()
        self._listener.turns.want(self)

    def pause_writing(self) -> None:
        self._http.pause_writing()
        self._response_timer.start(self._listener.limits.read_within)
        self.since = self._listener.turns.clock()
        self._hold(self._transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        self._response_timer.stop()
        self._hold(0)
        self._http.resume_writing()

    def take_turn(self) -> None:
        """Parse a part of what has arrived, and start the request that is complete."""
        if self._transport.is_closing() or self._finishing:
            return
        try:
            self._parse()
        except Exception as error:  # noqa: BLE001  # a fault of ours must not end the turns
            self._listener.rejections.failed(error)
            self.abort()

    def _parse(self) -> None:
        http = self._http
        self._parsed = True
        data, self._arrived = self._arrived, b""
        http.conn.begin_turn()
        if data:
            http.data_received(data)
        else:
            http.handle_events()
        more = http.conn.end_turn()
        if self._transport.is_closing() or self._finishing:
            return
        self._time_request(http.conn)
        if self._held_back:
            return
        if more:
            self._listener.turns.want(self)
        else:
            self._resume_reading()

    def _resume_reading(self) -> None:
        # uvloop raises a RuntimeError for a connection that has just broken.
        with suppress(RuntimeError):
            self._transport.resume_reading()

    def hold_back(self, held_back: bool) -> None:
        """Read nothing for now, or read again."""
        self._held_back = held_back
        if held_back:
            self._transport.pause_reading()
        elif not self._finishing:
            self._listener.turns.want(self)

    def finish(self) -> None:
        """Close the connection once what was written is sent."""
        if self._finishing:
            return
        self._finishing = True
        self.since = self._listener.turns.clock()
        if not self._http.conn.unfinished:
            self._transport.close()
            return
        self._arrived = b""
        self._request_timer.stop()
        self._linger_timer.start(_LINGER)
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._resume_reading()

    @property
    def finishing(self) -> bool:
        """Whether the connection ends."""
        return self._finishing

    def answered(self) -> None:
        """Note that a response is complete: the connection is idle, or continues with the next."""
        self.since = self._listener.turns.clock()

    def _time_request(self, conn: Parser) -> None:
        if conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self._request_timer.start(self._listener.limits.request_within)
        else:
            self._request_timer.stop()
        self._hold(conn.received if conn.receiving else 0)

    def _hold(self, size: int) -> None:
        self._listener.connections.holds(self, size if size > _MUCH else 0)


class _SeenByUvicorn(asyncio.Transport):
    """The connection as a transport."""

    def __init__(self, connection: AcceptedConnection, transport: asyncio.Transport) -> None:
        super().__init__()
        self._connection = connection
        self._transport = transport

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def is_closing(self) -> bool:
        return self._connection.finishing or self._transport.is_closing()

    def close(self) -> None:
        self._connection.finish()

    def abort(self) -> None:
        self._transport.abort()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._transport.write(data)

    def pause_reading(self) -> None:
        self._connection.hold_back(True)

    def resume_reading(self) -> None:
        self._connection.hold_back(False)


class _Timer:
    """Calls back unless it is stopped in time. Starting it again does not extend it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
        self._loop = loop
        self._call = call
        self._handle: asyncio.TimerHandle | None = None

    def start(self, seconds: float) -> None:
        if self._handle is None:
            self._handle = self._loop.call_later(seconds, self._call)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
