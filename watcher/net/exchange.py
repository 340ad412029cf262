"""One HTTP exchange that always ends: it has an overall deadline and a limit on the body.

A peer that sends one byte at a time outlives every read timeout, so the deadline covers the whole
exchange, from connecting to reading the body. Redirects are not followed. The transport is called
without an `httpx.AsyncClient`: that halves the cost of a request.
"""

import asyncio
from collections.abc import AsyncIterable, Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Literal, cast

import anyio
import httpx

from watcher.core.clock import monotonic
from watcher.core.errors import WatcherError
from watcher.net.content_encoding import BodyDecoder, ContentEncodingError, decoded_limit
from watcher.net.loop_share import share_of
from watcher.net.response_memory import BODIES, BodyShare, ResponseMemory
from watcher.net.transport import ON_STATUS, NotSentError

_KEPT_OF_TRUNCATED = 64 * 1024


class ExchangeError(WatcherError):
    """No complete response arrived. The text contains no header, URL or body.

    The cause is set for an unexpected error. `not_sent` means that the request never left
    this machine, for a reason on this machine.
    """

    def __init__(
        self, kind: Literal["connect", "timeout", "protocol"], text: str, *, not_sent: bool = False
    ) -> None:
        super().__init__(text)
        self.kind: Literal["connect", "timeout", "protocol"] = kind
        self.not_sent = not_sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A response; `truncated` if its body was longer than the limit and reading stopped there.

    At most 64 KiB of a truncated body are kept.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool


async def exchange(
    transport: httpx.AsyncBaseTransport,
    request: httpx.Request,
    *,
    deadline: float,
    body_limit: int,
    decoded: bool = True,
    rest_within: float | None = None,
    memory: ResponseMemory = BODIES,
) -> Reply:
    """Send `request` and return the response within `deadline` seconds.

    At most `body_limit` bytes of the body are read. `decoded` decompresses the body, as far as
    `decoded_limit` allows. An HTTP error status is a response. Raises `ExchangeError` if no
    response arrived, or only a part of it.

    With `rest_within` a status line is a response: what follows it within so many seconds is read,
    as far as it is valid. What does not fit in `memory` is not read, as if it exceeded the limit.
    """
    with BodyShare(memory) as share:
        arrived = _Arrived(body_limit, share)
        try:
            with anyio.CancelScope(deadline=monotonic() + deadline) as scope:
                if rest_within is not None:
                    arrived.hurry(request, scope, rest_within)
                return await _send_and_read(transport, request, arrived, decoded)
            raise TimeoutError
        except Exception as error:
            if rest_within is not None and arrived.status is not None:
                return arrived.reply(truncated=True)
            raise _translated(error, deadline) from _cause(error)


def _translated(error: Exception, deadline: float) -> ExchangeError:
    if isinstance(error, TimeoutError):
        return ExchangeError("timeout", f"no complete response within {deadline:g} s")
    if isinstance(error, httpx.ConnectError):
        not_sent = isinstance(error, NotSentError)
        return ExchangeError("connect", str(error) or "could not connect", not_sent=not_sent)
    if isinstance(error, httpx.TimeoutException):
        return ExchangeError("timeout", str(error) or "timed out")
    if isinstance(error, httpx.TransportError):
        return ExchangeError("protocol", str(error) or "the connection broke")
    if isinstance(error, ContentEncodingError):
        return ExchangeError("protocol", str(error))
    return unexpected(error)


def _cause(error: Exception) -> Exception | None:
    """Return an unexpected error."""
    expected = (TimeoutError, httpx.TransportError, ContentEncodingError)
    return None if isinstance(error, expected) else error


def unexpected(error: Exception, text: str = "unexpected error") -> ExchangeError:
    """Return `error` as one of its exchange. The text of other libraries may contain a secret."""
    failure = ExchangeError("protocol", f"{text} ({type(error).__name__})")
    failure.__cause__ = error
    return failure


async def _send_and_read(
    transport: httpx.AsyncBaseTransport, request: httpx.Request, arrived: "_Arrived", decoded: bool
) -> Reply:
    response = await transport.handle_async_request(request)
    try:
        if arrived.on_status is not None:
            arrived.on_status(response.status_code)
        arrived.status, arrived.headers = response.status_code, response.headers
        stream = cast(httpx.AsyncByteStream, response.stream)
        encoding = response.headers.get("content-encoding") if decoded else None
        await (arrived.read(stream) if encoding is None else arrived.decode(stream, encoding))
    except BaseException:
        with anyio.CancelScope(shield=True), anyio.move_on_after(1):
            await response.aclose()
        raise
    # Closing a partially read response closes its connection, which must not be reused.
    await response.aclose()
    return arrived.reply(truncated=arrived.full)


class _Arrived:
    """What has arrived of a response; of its body at most `limit` bytes are read."""

    def __init__(self, limit: int, memory: BodyShare) -> None:
        self.status: int | None = None
        self.on_status: Callable[[int], None] | None = None
        self.headers: Mapping[str, str] = {}
        self.full = False
        self._body = BytesIO()  # which grows, and becomes bytes, without a copy
        self._length = 0
        self._limit = limit
        self._memory = memory

    def hurry(self, request: httpx.Request, scope: anyio.CancelScope, seconds: float) -> None:
        """Leave `seconds` for what follows the status line."""

        def on_status(status: int) -> None:
            if self.status is None:
                self.status = status
                scope.deadline = min(scope.deadline, monotonic() + seconds)

        self.on_status = request.extensions[ON_STATUS] = on_status

    def reply(self, *, truncated: bool) -> Reply:
        return Reply(
            status=self.status or 0,
            headers=self.headers,
            body=self._body.getvalue(),
            truncated=truncated,
        )

    async def read(self, stream: AsyncIterable[bytes]) -> None:
        async for chunk in stream:
            if self._is_full(chunk, self._limit):
                return

    async def decode(self, stream: AsyncIterable[bytes], content_encoding: str) -> None:
        """Read the body and decompress it, as far as the limits allow, in pieces."""
        decoder = BodyDecoder(content_encoding)
        loop = share_of(asyncio.get_running_loop())
        encoded = 0
        async for chunk in stream:
            encoded += len(chunk)
            limit = min(self._limit, decoded_limit(encoded))
            pieces = decoder.feed(chunk)
            while (piece := await loop.next_piece(pieces)) is not None:
                if self._is_full(piece, limit, decoder.window):
                    return
            if encoded > self._limit:  # compressed data without content
                self.full = True
                return
        decoder.finish()

    def _is_full(self, chunk: bytes, limit: int, more: int = 0) -> bool:
        """Keep what fits of `chunk`; return whether something did not.

        `more` bytes are used beside the body.
        """
        length = self._length + len(chunk)
        if length <= limit and self._memory.fits(length + more):
            self._body.write(chunk)
            self._length = length
            return False
        self._body.write(chunk[: max(limit - self._length, 0)])
        self._body.truncate(_KEPT_OF_TRUNCATED)
        self.full = True
        return True
