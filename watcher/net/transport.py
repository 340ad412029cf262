"""An httpx transport over aiohttp's connections, with aiohttp's errors translated to httpx's.

httpx is the interface of plugins and tests; its own transport needs many times the CPU under
concurrency. The texts of aiohttp's errors may contain request headers, so none is passed on.
"""

import errno
import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from functools import partial
from typing import Any, Self, cast

import aiohttp
import anyio
import httpx
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from yarl import URL

from watcher.core.receiver_settings import ReceiverSettings
from watcher.core.settings import ChannelSettings, ConnectionSettings
from watcher.net.direct_request import (
    LONGEST_HEADER,
    MOST_HEADERS,
    NO_TIMEOUT,
    SET_HERE,
    DirectRequests,
    DirectResponse,
)
from watcher.net.public_socket import NotPublicError, SocketFactory, public_socket
from watcher.net.receiver_socket import plain_socket, with_small_buffer
from watcher.net.response_handler import WatchedResponseHandler
from watcher.net.response_limits import ResponseLimitError
from watcher.net.tls import tls_context
from watcher.net.tls_errors import explained

SENT_ONCE = "watcher.sent_once"
"""A request extension: send the request on a new connection, and never resend it."""

ON_STATUS = "watcher.on_status"
"""A request extension: called with the status as soon as the status line has arrived."""

_KEEP_ALIVE = 15.0
"""Seconds for which a connection without a request is kept."""
_SCHEMES = frozenset({b"http", b"https"})
_DNS_CACHE = 10  # seconds
_ENCODED_CHUNK = 16384  # bytes; small, because a response may be compressed a thousandfold
_LARGE_BUFFER = 64 * 1024  # aiohttp keeps up to twice as much
_SMALL_BUFFER = 32 * 1024  # of a receiver's response, the first 8 KiB are read


class NotSentError(httpx.ConnectError):
    """The request never left this machine: no address, route, socket or proxy was available."""


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Sends requests without redirects, cookies or a timeout.

    A kept-alive connection that the peer has closed fails before the first byte of a response; the
    request is then resent once, immediately, on a new connection.
    """

    def __init__(
        self,
        connections: int,
        *,
        tls: ssl.SSLContext,
        proxy: str | None,
        buffer: int,
        socket_factory: SocketFactory | None,
    ) -> None:
        self._connections = connections
        self._tls = tls
        self._proxy = proxy
        self._buffer = buffer
        self._socket_factory = socket_factory
        self._pooled: _Pool | None = None
        self._fresh: _Pool | None = None

    async def __aenter__(self) -> Self:
        self._pooled = self._pool(keepalive_timeout=_KEEP_ALIVE)
        self._fresh = self._pool(force_close=True)
        return self

    def _pool(self, **options: Any) -> "_Pool":
        return _Pool(self._connector(**options), self._proxy, self._buffer)

    def _connector(self, **options: Any) -> aiohttp.TCPConnector:
        return _Connector(
            limit=self._connections,
            ssl=self._tls,
            ttl_dns_cache=_DNS_CACHE,
            socket_factory=self._socket_factory,
            **options,
        )

    async def aclose(self) -> None:
        with anyio.CancelScope(shield=True):
            for pool in (self._pooled, self._fresh):
                if pool is not None:
                    await pool.session.close()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._pooled is None or self._fresh is None:
            raise RuntimeError("the transport is not open")
        attempt = _Attempt(request.extensions.get(ON_STATUS))
        once = bool(request.extensions.get(SENT_ONCE))
        try:
            try:
                response = await self._send(self._fresh if once else self._pooled, request, attempt)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionResetError):
                if not attempt.never_answered:
                    raise
                response = await self._send(self._fresh, request, attempt)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            text = explained(
                error, encrypted=request.url.scheme == "https", unanswered=attempt.unanswered
            )
            translated = _translated(error)
            raise translated if text is None else type(translated)(text) from None
        return httpx.Response(
            response.status, headers=list(response.raw_headers), stream=_Body(response)
        )

    async def _send(
        self, pool: "_Pool", request: httpx.Request, attempt: "_Attempt"
    ) -> "aiohttp.ClientResponse | DirectResponse":
        current = _current_attempt.set(attempt)
        try:
            return await pool.send(request, request.read())
        finally:
            _current_attempt.reset(current)


def create_transport(
    *,
    connections: int = 100,
    reached: ConnectionSettings | None = None,
    large_responses: bool = True,
) -> AiohttpTransport:
    """Return a transport with at most `connections` connections; enter it before use.

    `reached` are the settings of the peer. Raises `ConfigurationError` if one of its certificates
    cannot be used.
    """
    proxy = None if reached is None or reached.proxy is None else reached.proxy.get_secret_value()
    public = isinstance(reached, ReceiverSettings) and reached.deny_private
    return AiohttpTransport(
        connections,
        tls=tls_context(reached),
        proxy=proxy,
        buffer=_LARGE_BUFFER if large_responses else _SMALL_BUFFER,
        socket_factory=_socket_factory(public=public, large_responses=large_responses),
    )


def channel_transport(channel: ChannelSettings) -> AiohttpTransport:
    """Return the transport of a channel; a channel without HTTP does not use it."""
    settings: object = channel  # mypy considers a subclass of both settings classes impossible
    reached = settings if isinstance(settings, ConnectionSettings) else None
    return create_transport(connections=channel.concurrency, reached=reached, large_responses=False)


def _socket_factory(*, public: bool, large_responses: bool) -> SocketFactory | None:
    if large_responses:
        return public_socket if public else None
    return with_small_buffer(public_socket if public else plain_socket)


class _Pool:
    """Connections, and the two ways to send a request over them: the short one, and aiohttp's
    session for what the short one does not know.
    """

    def __init__(self, connector: aiohttp.TCPConnector, proxy: str | None, buffer: int) -> None:
        self.session = _session(connector, buffer)
        self._direct = DirectRequests(connector, buffer)
        self._proxy = proxy

    async def send(
        self, request: httpx.Request, body: bytes
    ) -> aiohttp.ClientResponse | DirectResponse:
        url, headers = request.url, request.headers.raw
        scheme, netloc = url.raw_scheme, url.netloc
        if self._proxy is None and scheme in _SCHEMES and netloc and not url.userinfo:
            origin = f"{scheme.decode('ascii')}://{netloc.decode('ascii')}"
            return await self._direct.send(request.method, origin, url.raw_path, headers, body)
        return await self.session.request(
            request.method,
            URL(str(url), encoded=True),
            headers=[
                (name.decode("ascii"), value.decode("latin-1"))
                for name, value in headers
                if name.lower() not in SET_HERE
            ],
            data=body or None,
            allow_redirects=False,
            proxy=self._proxy,
        )


def _session(connector: aiohttp.TCPConnector, buffer: int) -> aiohttp.ClientSession:
    session = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=NO_TIMEOUT,
        read_bufsize=buffer,
        max_line_size=LONGEST_HEADER,
        max_field_size=LONGEST_HEADER,
        max_headers=MOST_HEADERS,
        skip_auto_headers=("user-agent", "accept", "accept-encoding", "content-type"),
        auto_decompress=False,
    )
    # It would send a GET or DELETE again on a new connection too, unseen by the request budget.
    session._retry_connection = False
    return session


class _Attempt:
    """One request, and the connection that it was sent on."""

    def __init__(self, on_status: Callable[[int], None] | None) -> None:
        self._on_status = on_status
        self._connection: WatchedResponseHandler | None = None

    def connected(self, connection: WatchedResponseHandler) -> None:
        self._connection = connection
        if self._on_status is not None:
            connection.watch_status(self._on_status)

    @property
    def never_answered(self) -> bool:
        """Whether the connection had been used before, and brought no byte of a response."""
        connection = self._connection
        return connection is not None and connection.requests > 1 and not connection.received

    @property
    def unanswered(self) -> bool:
        """Whether the connection was a new one, and brought no byte of a response."""
        connection = self._connection
        return connection is not None and connection.requests == 1 and not connection.received


_current_attempt: ContextVar[_Attempt] = ContextVar("current_attempt")


class _Connector(aiohttp.TCPConnector):
    """Notes for each request which connection it gets."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        handler: type[ResponseHandler] = WatchedResponseHandler
        self._factory = partial(handler, loop=self._loop)

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Any],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  (the interface is aiohttp's)
    ) -> Connection:
        connection = await super().connect(req, traces, timeout)
        _current_attempt.get().connected(cast(WatchedResponseHandler, connection.protocol))
        return connection


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: aiohttp.ClientResponse | DirectResponse) -> None:
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
            self._response.close()  # the unread rest must not become part of the next response


_LOCAL_ERRORS = frozenset(
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
    (aiohttp.ClientConnectorDNSError, NotSentError, "the host name could not be resolved"),
    (aiohttp.ClientSSLError, httpx.ConnectError, "the TLS handshake failed"),
    (aiohttp.ClientProxyConnectionError, NotSentError, "the proxy could not be reached"),
    (aiohttp.ClientHttpProxyError, httpx.ConnectError, "the proxy rejected the request"),
    (aiohttp.InvalidURL, httpx.UnsupportedProtocol, "the URL is not valid"),
    (
        aiohttp.ServerDisconnectedError,
        httpx.RemoteProtocolError,
        "the connection was closed without a response",
    ),
    (aiohttp.ClientPayloadError, httpx.RemoteProtocolError, "the response is incomplete"),
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError, "the response is not valid HTTP"),
)


def _translated(error: Exception) -> httpx.TransportError:
    if isinstance(error, ResponseLimitError):
        return httpx.RemoteProtocolError(str(error))
    for aiohttp_error, httpx_error, text in _TRANSLATIONS:
        if isinstance(error, aiohttp_error):
            return httpx_error(text)
    if isinstance(error, aiohttp.ClientConnectorError):
        if isinstance(error.os_error, NotPublicError):
            return httpx.ConnectError(str(error.os_error))
        kind = NotSentError if error.errno in _LOCAL_ERRORS else httpx.ConnectError
        return kind(_reason(error, "could not connect"))
    if isinstance(error, TimeoutError):
        return httpx.ReadTimeout("timed out")
    if isinstance(error, OSError):
        return httpx.ReadError(_reason(error, "the connection broke"))
    return httpx.RemoteProtocolError(f"the exchange failed ({type(error).__name__})")


def _reason(error: Exception, fallback: str) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number).lower() if isinstance(number, int) and number > 0 else fallback
