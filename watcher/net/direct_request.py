"""One request over a connection of aiohttp, without its session: less than half of the CPU.

For each request the session makes a `ClientRequest`, a writer, a task and a `ClientResponse`, for
redirects, cookies and bodies that are sent in pieces. Here a request is one write. aiohttp does
what is hard: the pool, TLS, and the parsing of responses.
"""

import asyncio
from collections.abc import Iterable
from functools import lru_cache

import aiohttp
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, RawResponseMessage
from aiohttp.streams import StreamReader
from yarl import URL

NO_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=None)
LONGEST_HEADER = 64 * 1024
MOST_HEADERS = 1000

SET_HERE = frozenset({b"host", b"content-length", b"connection", b"transfer-encoding"})
"""Headers that follow from the URL, the body and the connection."""

_WITHOUT_CONTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_WRITTEN_AT_ONCE = 64 * 1024  # a larger body is not copied behind its head

Header = tuple[bytes, bytes]


class DirectResponse:
    """A response whose head has arrived; `content` is its body, of which the rest may be to come.

    The connection returns to its pool at the end of the body.
    """

    def __init__(
        self, message: RawResponseMessage, content: StreamReader, connection: Connection
    ) -> None:
        self.status = message.code
        self.raw_headers = message.raw_headers
        self.headers = message.headers
        self.content = content
        self._connection: Connection | None = connection
        content.on_eof(self._ended)

    def release(self) -> None:
        """Return the connection, if a request can follow on it."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        transport = connection.transport
        if transport is not None and transport.get_write_buffer_size():
            connection.close()  # the response came before the whole request was sent
        else:
            connection.release()

    def close(self) -> None:
        """Close the connection, unless the response has ended."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _ended(self) -> None:
        protocol = None if self._connection is None else self._connection.protocol
        if protocol is None or not protocol.upgraded:
            self.release()


class DirectRequests:
    """Sends requests over the connections of `connector`. Responses are buffered up to `buffer`."""

    def __init__(self, connector: aiohttp.BaseConnector, buffer: int) -> None:
        self._connector = connector
        self._buffer = buffer
        self._peer = lru_cache(maxsize=16)(_peer)

    async def send(
        self, method: str, origin: str, path: bytes, headers: Iterable[Header], body: bytes
    ) -> DirectResponse:
        """Send one request to `origin`, which is a scheme, host and port; return its response.

        `headers` without those of `SET_HERE`. Raises what a session of aiohttp raises.
        """
        peer = self._peer(origin)
        lines = [
            b"%s %s HTTP/1.1" % (method.encode(), path),
            b"Host: " + peer.headers["Host"].encode(),
            *(b"%s: %s" % header for header in headers if header[0].lower() not in SET_HERE),
        ]
        if body or method not in _WITHOUT_CONTENT:
            lines.append(b"Content-Length: %d" % len(body))
        if self._connector.force_close:
            lines.append(b"Connection: close")
        head = _head(lines)
        connection = await self._connector.connect(peer, [], NO_TIMEOUT)
        try:
            return await self._exchange(connection, peer, method, head, body)
        except BaseException:
            connection.close()
            raise

    async def _exchange(
        self,
        connection: Connection,
        peer: aiohttp.ClientRequest,
        method: str,
        head: bytes,
        body: bytes,
    ) -> DirectResponse:
        protocol = connection.protocol
        transport = None if protocol is None else protocol.transport
        if protocol is None or transport is None or transport.is_closing():
            raise aiohttp.ClientConnectionResetError("Cannot write to closing transport")
        protocol.set_response_params(
            skip_payload=method == "HEAD",
            read_until_eof=True,
            auto_decompress=False,
            read_bufsize=self._buffer,
            max_line_size=LONGEST_HEADER,
            max_field_size=LONGEST_HEADER,
            max_headers=MOST_HEADERS,
        )
        if len(body) <= _WRITTEN_AT_ONCE:
            transport.write(head + body)
        else:
            transport.write(head)
            transport.write(body)
        try:
            message, content = await protocol.read()
        except HttpProcessingError as error:
            raise aiohttp.ClientResponseError(
                peer.request_info, (), status=error.code, message=error.message
            ) from error
        except OSError as error:
            if isinstance(error, (aiohttp.ClientError, TimeoutError)):
                raise
            raise aiohttp.ClientOSError(*error.args) from error
        return DirectResponse(message, content, connection)


def _peer(origin: str) -> aiohttp.ClientRequest:
    """Return what a connector needs to know to connect to `origin`."""
    return aiohttp.ClientRequest("GET", URL(origin, encoded=True), loop=asyncio.get_running_loop())


def _head(lines: list[bytes]) -> bytes:
    """Return the head of a request. Raises `ValueError` if a line contains another one."""
    head = b"\r\n".join([*lines, b"", b""])
    ends = len(lines) + 1
    if (head.count(b"\n"), head.count(b"\r"), head.count(b"\0")) != (ends, ends, 0):
        raise ValueError("a header contains a line break or a null byte")
    return head
