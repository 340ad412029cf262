"""Connections of the commands, whose responses have limits of size and time: what answers may be no
daemon.
"""

import ssl
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import cast

import anyio
import httpcore
import httpx

from watcher.core.errors import DaemonError

LIMIT = 64 * 1024 * 1024
"""Bytes of a response; a page of a thousand items has some MiB. The event stream has no end."""
WITHIN = 60.0
"""Seconds for a response. The daemon waits for upstream for less."""


class BoundedTransport(httpx.HTTPTransport):
    """Requests no compression, and raises `DaemonError` for what is compressed, too long or takes
    longer than `within` seconds.
    """

    def __init__(
        self, *, encryption: ssl.SSLContext | None, uds: str | None, within: float = WITHIN
    ) -> None:
        super().__init__(verify=encryption or False, uds=uds)
        self._within = within
        self._network = _Network()
        self._pool = httpcore.ConnectionPool(
            ssl_context=encryption, uds=uds, network_backend=self._network
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.headers["accept-encoding"] = "identity"
        self._network.ends = time.monotonic() + self._within
        response = super().handle_request(request)
        _require_plain(response)
        response.stream = _Bounded(cast(httpx.SyncByteStream, response.stream))
        return response


class AsyncBoundedTransport(httpx.AsyncHTTPTransport):
    """The same for the asynchronous client."""

    def __init__(
        self, *, encryption: ssl.SSLContext | None, uds: str | None, within: float = WITHIN
    ) -> None:
        super().__init__(verify=encryption or False, uds=uds)
        self._within = within

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.headers["accept-encoding"] = "identity"
        ends = time.monotonic() + self._within
        try:
            with anyio.fail_after(self._within):
                response = await super().handle_async_request(request)
        except TimeoutError:
            raise _late() from None
        _require_plain(response)
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            response.stream = _AsyncBounded(cast(httpx.AsyncByteStream, response.stream), ends)
        return response


class _Network(httpcore.NetworkBackend):
    """Connections of which nothing is read after `ends`: a peer that sends a byte each second, or
    interim responses without end, exceeds no other limit.
    """

    def __init__(self) -> None:
        self.ends = float("inf")
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        stream = self._sockets.connect_tcp(host, port, timeout, local_address, socket_options)
        return _Stream(stream, self)

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        return _Stream(self._sockets.connect_unix_socket(path, timeout, socket_options), self)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, network: _Network) -> None:
        self._stream = stream
        self._network = network

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        remaining = self._network.ends - time.monotonic()
        if remaining <= 0:
            raise _late()
        try:
            return self._stream.read(max_bytes, min(timeout or remaining, remaining))
        except httpcore.ReadTimeout:
            if time.monotonic() < self._network.ends:
                raise
            raise _late() from None

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, timeout), self._network)

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)


def _late() -> DaemonError:
    return DaemonError("not a watcher API: the response does not end; check --url")


def _require_plain(response: httpx.Response) -> None:
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise DaemonError("not a watcher API: the response is compressed; check --url")


def _counted(total: int) -> int:
    if total > LIMIT:
        raise DaemonError(f"not a watcher API: more than {LIMIT >> 20} MiB; check --url")
    return total


class _Bounded(httpx.SyncByteStream):
    def __init__(self, stream: httpx.SyncByteStream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        total = 0
        for chunk in self._stream:
            total = _counted(total + len(chunk))
            yield chunk

    def close(self) -> None:
        self._stream.close()


class _AsyncBounded(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, ends: float) -> None:
        self._stream = stream
        self._ends = ends

    async def __aiter__(self) -> AsyncIterator[bytes]:
        total = 0
        async for chunk in self._stream:
            if time.monotonic() > self._ends:
                raise _late()
            total = _counted(total + len(chunk))
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
