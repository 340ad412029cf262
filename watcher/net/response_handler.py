"""What the transport needs to know of a connection, and aiohttp does not show.

- Its age: a connection is closed 45 s after it was opened, or once the request at that moment ends,
  so that a change in DNS is followed within a minute.
- The status line, as soon as it has arrived: what follows it may be malformed, or never end.
- Data without a request: the rest of a response must not become part of the next one.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Any

from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader

LONGEST_LIFE = 45.0
"""Seconds after which a connection is not used for another request."""

_STATUS_LINE = re.compile(rb"(?:\r?\n)*HTTP/1\.[01] ([1-9]\d\d)(?: [^\r\n]*)?\r?\n")
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_LONGEST_HEAD = 64 * 1024


class WatchedResponseHandler(ResponseHandler):
    """A connection of aiohttp."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.requests = 0
        """Requests that this connection was used for."""
        self.received = False
        """Whether any byte of the current response has arrived."""
        self._on_status: Callable[[int], None] | None = None
        self._head: bytes | None = None
        self._answered = False
        self._retire_at = loop.time() + LONGEST_LIFE
        self._retirement = loop.call_at(self._retire_at, self._retire)

    @property
    def should_close(self) -> bool:
        return super().should_close or self._loop.time() >= self._retire_at

    def is_connected(self) -> bool:
        """Called by aiohttp before it uses the connection again."""
        return super().is_connected() and not (self._idle and self._loop.time() >= self._retire_at)

    def watch_status(self, on_status: Callable[[int], None]) -> None:
        """Call `on_status` with the status of the next response, once."""
        self._on_status = on_status

    def set_response_params(self, **parameters: Any) -> None:
        """Called by aiohttp before each request."""
        self.requests += 1
        self.received = self._answered = False
        self._head = None if self._on_status is None else b""
        super().set_response_params(**parameters)

    def data_received(self, data: bytes) -> None:
        if data:
            if self._answered and self._idle:
                self._discard()
                return
            self.received = True
            if self._head is not None:
                self._note_status(self._head + data)
        super().data_received(data)

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """Called by aiohttp for each parsed response."""
        if self._answered:
            self._discard()
            return
        self._answered = data[0].code >= 200 or data[0].code == 101
        super().feed_data(data, size)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._retirement.cancel()
        super().connection_lost(exc)

    @property
    def _idle(self) -> bool:
        """Whether the last response is complete, or there was none."""
        if self.requests == 0:
            return True
        return self._answered and (self._payload is None or self._payload.is_eof())

    def _note_status(self, head: bytes) -> None:
        """Look for the status line of the final response at the beginning of `head`."""
        while (match := _STATUS_LINE.match(head)) is not None:
            status = int(match[1])
            if status >= 200:
                self._head = None
                if self._on_status is not None:
                    self._on_status(status)
                    self._on_status = None
                return
            end = _END_OF_HEAD.search(head, match.end() - 2)
            if end is None:
                break
            head = head[end.end() :]
        self._head = head if len(head) <= _LONGEST_HEAD else None

    def _discard(self) -> None:
        self.force_close()
        if self.transport is not None:
            self.transport.close()

    def _retire(self) -> None:
        # The transport of a tunnel through a proxy belongs to the TLS connection within.
        transport = self.transport
        if self._idle and transport is not None and transport.get_protocol() is self:
            self._discard()
