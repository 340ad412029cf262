"""What the transport needs to know of a connection, and aiohttp does not show.

- Its age: a connection is closed 45 s after it was opened, or once the request at that moment ends,
  so that a change in DNS is followed within a minute.
- The status line, as soon as it has arrived (`status_line`).
- Data without a request: the rest of a response must not become part of the next one.
- Limits: on the bytes that are no content, and on the time that processing takes in one turn.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader

from watcher.net.loop_share import FIRST, PIECE, share_of
from watcher.net.response_limits import ResponseLimitError, ResponseLimits
from watcher.net.status_line import StatusLineSearch

LONGEST_LIFE = 45.0
"""Seconds after which a connection is not used for another request."""


class WatchedResponseHandler(ResponseHandler):
    """A connection of aiohttp."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.requests = 0
        """Requests that this connection was used for."""
        self.received_bytes = 0
        """Bytes of the current response that were processed."""
        self._share = share_of(loop)
        self._limits = ResponseLimits()
        self._waiting = b""
        self._waiting_from = 0
        self._queued = False
        self._discarded = False
        self._lost = False
        self._on_status: Callable[[int], None] | None = None
        self._status_line: StatusLineSearch | None = None
        self._answered = False
        self._retire_at = loop.time() + LONGEST_LIFE
        self._retirement = loop.call_at(self._retire_at, self._retire)

    @property
    def received(self) -> bool:
        """Whether any byte of the current response has arrived."""
        return bool(self.received_bytes or self._waiting)

    @property
    def should_close(self) -> bool:
        retired = self._loop.time() >= self._retire_at
        return super().should_close or retired or bool(self._waiting)

    def is_connected(self) -> bool:
        """Called by aiohttp before it uses the connection again."""
        return super().is_connected() and not (self._idle and self._loop.time() >= self._retire_at)

    def watch_status(self, on_status: Callable[[int], None]) -> None:
        """Call `on_status` with the status of the next response, once."""
        self._on_status = on_status

    def set_response_params(self, **parameters: Any) -> None:
        """Called by aiohttp before each request."""
        self.requests += 1
        self.received_bytes = 0
        self._limits = ResponseLimits()
        self._answered = False
        on_status, self._on_status = self._on_status, None
        self._status_line = None if on_status is None else StatusLineSearch(on_status)
        super().set_response_params(**parameters)

    def data_received(self, data: bytes) -> None:
        if not data:
            super().data_received(data)  # aiohttp continues with what its parser holds
        elif self._answered and self._idle:
            self._discard()  # at once: another request may take the connection before its turn
        elif not self._waiting and self._is_processed_at_once(len(data)):
            self._share.run(self._process, data)
        else:
            self._waiting = self._waiting[self._waiting_from :] + data
            self._waiting_from = 0
            self._pause_reading_for_buffer()
            self._enqueue()

    def process_piece(self) -> bool:
        """Called by the loop's share: process some of what waits."""
        self._queued = False
        if self._reading_paused:
            return False
        until = self._waiting_from + PIECE
        piece = self._waiting[self._waiting_from : until]
        self._waiting_from = until
        if until >= len(self._waiting):
            self._waiting, self._waiting_from = b"", 0
        self._process(piece)
        if self._ended_here:
            self._waiting = b""
        if not self._waiting:
            self._all_processed()
            return False
        self._queued = not self._reading_paused
        return self._queued

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Called by aiohttp when the body has been read."""
        super().resume_reading(resume_parser)
        if self._waiting and not self._reading_paused:
            self._enqueue()

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """Called by aiohttp for each parsed response."""
        if self._exception is not None:
            return
        if self._answered:
            self._discard()
        elif data[0].code >= 200 or data[0].code == 101:
            self._answered = True
            super().feed_data(data, size)
        elif (problem := self._limits.interim()) is not None:
            self._fail(ResponseLimitError(problem))

    def connection_lost(self, exc: BaseException | None) -> None:
        """Called by the loop; the end follows what still waits to be processed."""
        self._retirement.cancel()
        if self._waiting and exc is None and not self._ended_here:
            self._lost = True
            return
        self._waiting = b""
        super().connection_lost(exc)

    def close(self) -> None:
        """Called by aiohttp when a response is not needed any more."""
        super().close()
        self._drop()

    def abort(self) -> None:
        """Called by aiohttp when it closes; see `close`."""
        super().abort()
        self._drop()

    def _drop(self) -> None:
        if self._lost:
            self._waiting = b""
            self._all_processed()

    def _all_processed(self) -> None:
        if self._lost:
            self._lost = False
            super().connection_lost(None)
        else:
            self._resume_reading_for_buffer()

    @property
    def _idle(self) -> bool:
        """Whether the last response is complete, or there was none."""
        if self.requests == 0:
            return True
        return self._answered and (self._payload is None or self._payload.is_eof())

    @property
    def _ended_here(self) -> bool:
        """Whether nothing more of the response is needed, or it is invalid."""
        return self.transport is None or self._discarded or self._exception is not None

    def _is_processed_at_once(self, length: int) -> bool:
        if self.received_bytes + length <= FIRST:
            return True
        return length <= PIECE and self._share.free

    def _enqueue(self) -> None:
        if not self._queued:
            self._queued = True
            self._share.enqueue(self)

    def _process(self, data: bytes) -> None:
        if self._answered and self._idle:  # the rest of what arrived with the response
            self._discard()
            return
        self.received_bytes += len(data)
        if self._status_line is not None:
            self._status_line.receive(data)
        super().data_received(data)
        if self._exception is not None:
            return
        content = 0 if self._payload is None else self._payload.total_bytes
        problem = self._limits.exceeded(len(data), content, answered=self._answered)
        if problem is not None and not self._idle:
            self._fail(ResponseLimitError(problem))

    def _fail(self, error: ResponseLimitError) -> None:
        if self._payload is not None:
            self._payload.set_exception(error)
        self._parser = None  # it would report another error of the body when the connection closes
        self.set_exception(error)
        self._discard()

    def _discard(self) -> None:
        self._discarded = True
        self.force_close()
        if self.transport is not None:
            self.transport.close()

    def _retire(self) -> None:
        # The transport of a tunnel through a proxy belongs to the TLS connection within.
        transport = self.transport
        if self._idle and transport is not None and transport.get_protocol() is self:
            self._discard()
