"""httpx's transport seam over aiohttp's connections, with every failure named for what it is.

httpx is the interface that plugins and tests see; its own transport needs many times the CPU under concurrency. Texts
of aiohttp's errors may hold a request's headers, so none of them is passed on.
"""

import errno
import os
import ssl
from collections.abc import AsyncIterator
from functools import lru_cache
from types import SimpleNamespace
from typing import Self

import aiohttp
import httpx
from yarl import URL

from watcher.core.settings import ChannelSettings, ConnectionSettings
from watcher.net.tls import tls_context

SENT_ONCE = "watcher.sent_once"
"""A request's extension: it goes out on a connection of its own and is never sent again."""

_KEEP_ALIVE = 15.0
_ENCODED_CHUNK = 16384  # small, for an answer may be compressed a thousandfold
_BUFFER = 1024 * 1024  # a page of a thousand tasks in one go, without pausing the socket in between
_SET_BY_AIOHTTP = frozenset({b"host", b"content-length", b"connection"})
_NO_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=None)


class NotSentError(httpx.ConnectError):
    """The request never left this machine: its receiver's name, a route to it or a socket could not be had."""


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Sends one request; follows no redirect, keeps no cookie, and puts no limit of its own on time.

    A kept-alive connection that the receiver has closed meanwhile fails before a byte comes back; the request is then
    sent once more at once, on a new connection.
    """

    def __init__(self, connections: int, tls: ssl.SSLContext | None, proxy: str | None) -> None:
        self._connections = connections
        self._tls = True if tls is None else tls
        self._proxy = proxy
        self._pooled: aiohttp.ClientSession | None = None
        self._fresh: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._pooled = _session(
            aiohttp.TCPConnector(
                limit=self._connections, ssl=self._tls, keepalive_timeout=_KEEP_ALIVE
            )
        )
        self._fresh = _session(
            aiohttp.TCPConnector(limit=self._connections, ssl=self._tls, force_close=True)
        )
        return self

    async def aclose(self) -> None:
        for session in (self._pooled, self._fresh):
            if session is not None:
                await session.close()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._pooled is None or self._fresh is None:
            raise RuntimeError("the transport has not been entered")
        reuse: dict[str, bool] = {}
        once = bool(request.extensions.get(SENT_ONCE))
        try:
            try:
                response = await self._send(self._fresh if once else self._pooled, request, reuse)
            except (aiohttp.ServerDisconnectedError, ConnectionResetError):
                if not reuse:
                    raise
                response = await self._send(self._fresh, request, reuse)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _translated(error) from None
        return httpx.Response(
            response.status, headers=list(response.raw_headers), stream=_Body(response)
        )

    async def _send(
        self, session: aiohttp.ClientSession, request: httpx.Request, reuse: dict[str, bool]
    ) -> aiohttp.ClientResponse:
        return await session.request(
            request.method,
            _encoded(str(request.url)),
            headers=[
                (name.decode("ascii"), value.decode("latin-1"))
                for name, value in request.headers.raw
                if name.lower() not in _SET_BY_AIOHTTP
            ],
            data=request.read() or None,
            allow_redirects=False,
            proxy=self._proxy,
            trace_request_ctx=reuse,
        )


def create_transport(
    *, connections: int = 100, reached: ConnectionSettings | None = None
) -> AiohttpTransport:
    """Return a transport, to be entered before use, that holds at most so many connections.

    Raises `ConfigurationError` where a certificate of `reached` cannot be used.
    """
    if reached is None:
        return AiohttpTransport(connections, None, None)
    proxy = None if reached.proxy is None else reached.proxy.get_secret_value()
    return AiohttpTransport(connections, tls_context(reached), proxy)


def channel_transport(channel: ChannelSettings) -> AiohttpTransport:
    """Return the transport of a channel; one that is not reached over HTTP has no use for it."""
    settings: object = channel  # the type checker holds a class of both kinds for impossible
    reached = settings if isinstance(settings, ConnectionSettings) else None
    return create_transport(connections=channel.concurrency, reached=reached)


@lru_cache(maxsize=256)
def _encoded(url: str) -> URL:
    return URL(url, encoded=True)


def _session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    tracing = aiohttp.TraceConfig()
    tracing.on_connection_reuseconn.append(_note_reuse)
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=_NO_TIMEOUT,
        trace_configs=[tracing],
        read_bufsize=_BUFFER,
        skip_auto_headers=("user-agent", "accept", "accept-encoding", "content-type"),
        auto_decompress=False,
    )


async def _note_reuse(
    _: aiohttp.ClientSession, context: SimpleNamespace, __: aiohttp.TraceConnectionReuseconnParams
) -> None:
    context.trace_request_ctx["reused"] = True


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            content = self._response.content
            encoded = "Content-Encoding" in self._response.headers
            async for chunk in (
                content.iter_chunked(_ENCODED_CHUNK) if encoded else content.iter_any()
            ):
                yield chunk
        except (aiohttp.ClientError, OSError) as error:
            raise _translated(error) from None

    async def aclose(self) -> None:
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()  # what is left unread must not be taken for the next answer


_OURS = frozenset(
    {
        errno.ENETUNREACH,
        errno.ENETDOWN,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.EADDRNOTAVAIL,
    }
)
_TRANSLATIONS: tuple[tuple[type[Exception], type[httpx.TransportError], str], ...] = (
    (aiohttp.ClientConnectorDNSError, NotSentError, "its name could not be resolved"),
    (
        aiohttp.ClientConnectorCertificateError,
        httpx.ConnectError,
        "its TLS certificate is not valid",
    ),
    (aiohttp.ClientSSLError, httpx.ConnectError, "no TLS connection could be made"),
    (aiohttp.ClientProxyConnectionError, NotSentError, "the proxy could not be reached"),
    (aiohttp.ClientHttpProxyError, httpx.ConnectError, "the proxy refused"),
    (aiohttp.InvalidURL, httpx.UnsupportedProtocol, "its URL is not valid"),
    (
        aiohttp.ServerDisconnectedError,
        httpx.RemoteProtocolError,
        "it closed the connection without an answer",
    ),
    (aiohttp.ClientPayloadError, httpx.RemoteProtocolError, "its answer was cut off"),
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError, "its answer is not HTTP"),
)


def _translated(error: Exception) -> httpx.TransportError:
    for theirs, ours, text in _TRANSLATIONS:
        if isinstance(error, theirs):
            return ours(text)
    if isinstance(error, aiohttp.ClientConnectorError):
        kind = NotSentError if error.errno in _OURS else httpx.ConnectError
        return kind(_reason(error, "could not connect"))
    if isinstance(error, OSError):
        return httpx.ReadError(_reason(error, "the connection broke"))
    return httpx.RemoteProtocolError(f"the exchange failed ({type(error).__name__})")


def _reason(error: Exception, otherwise: str) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number).lower() if isinstance(number, int) and number > 0 else otherwise
