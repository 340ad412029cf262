"""Connections of the commands, whose responses have a limit: what answers may be no daemon."""

from collections.abc import AsyncIterator, Iterator
from typing import cast

import httpx

from watcher.core.errors import DaemonError

LIMIT = 64 * 1024 * 1024
"""Bytes of a response; a page of a thousand items has some MiB. The event stream has no end."""


class BoundedTransport(httpx.HTTPTransport):
    """Requests no compression, and raises `DaemonError` for what is compressed or too long."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.headers["accept-encoding"] = "identity"
        response = super().handle_request(request)
        _require_plain(response)
        response.stream = _Bounded(cast(httpx.SyncByteStream, response.stream))
        return response


class AsyncBoundedTransport(httpx.AsyncHTTPTransport):
    """The same for the asynchronous client."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.headers["accept-encoding"] = "identity"
        response = await super().handle_async_request(request)
        _require_plain(response)
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            response.stream = _AsyncBounded(cast(httpx.AsyncByteStream, response.stream))
        return response


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
    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        total = 0
        async for chunk in self._stream:
            total = _counted(total + len(chunk))
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
