"""The listeners of the API and of telemetry."""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ssl import SSLContext
from typing import Any

import anyio
import anyio.abc
import uvicorn
from starlette.types import ASGIApp

from watcher.api import unix_socket
from watcher.api.timeouts import READ_WITHIN, REQUEST_WITHIN, protocol
from watcher.core.errors import ConfigurationError
from watcher.core.setting_types import local_url
from watcher.core.settings import ServerSettings, TelemetrySettings
from watcher.net.server_tls import ListenerContext

logger = logging.getLogger(__name__)

_CLOSE_STREAMS_WITHIN = 1
_BACKLOG = 1024
_HEADER_LIMIT = 16384  # bytes of a request's line and headers


def bind(section: str, host: str, port: int) -> socket.socket:
    """Return a socket that listens on `host` and `port` (0: any free one).

    Raises `ConfigurationError` with the name of the `section` if that is not possible.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
            listener.setblocking(False)
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        raise ConfigurationError(
            [f"{section}: cannot listen on {host} port {port}: {error.strerror}"]
        ) from None
    return listener


@contextmanager
def listening(
    section: str, settings: ServerSettings | TelemetrySettings
) -> Iterator[tuple[socket.socket, ListenerContext | None]]:
    """Open the listener of a section; also return its TLS context, if it has one.

    Raises `ConfigurationError` if that is not possible.
    """
    tls = None if settings.tls is None else ListenerContext(settings.tls)
    if isinstance(settings, ServerSettings) and settings.socket is not None:
        with unix_socket.bound(section, settings.socket, _BACKLOG) as listener:
            yield listener, tls
    else:
        with bind(section, settings.host, settings.port) as listener:
            yield listener, tls


def url_of(listener: socket.socket, *, tls: bool = False) -> str:
    """Return the base URL of `listener`, as seen from this machine; `unix://` and a path."""
    if listener.family == socket.AF_UNIX:
        return f"unix://{listener.getsockname()}"
    return local_url(*listener.getsockname()[:2], tls=tls)


class _Server(uvicorn.Server):
    """uvicorn without signal handling, which the daemon does."""

    def __init__(self, config: uvicorn.Config, handshake_within: float) -> None:
        super().__init__(config)
        self.servers = []
        self._handshake_within = handshake_within

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen with a deadline for TLS handshakes, and on sockets of both families."""
        loop = asyncio.get_running_loop()
        encryption: dict[str, Any] = {}
        if self.config.ssl is not None:
            encryption = {"ssl": self.config.ssl, "ssl_handshake_timeout": self._handshake_within}

        def create_protocol() -> asyncio.Protocol:
            return self.config.http_protocol_class(  # type: ignore[call-arg]
                config=self.config, server_state=self.server_state, app_state={}
            )

        for one in sockets or ():
            unix = one.family == socket.AF_UNIX
            create = loop.create_unix_server if unix else loop.create_server
            self.servers.append(
                await create(create_protocol, sock=one, backlog=_BACKLOG, **encryption)
            )
        self.started = True


async def serve(
    app: ASGIApp,
    listener: socket.socket,
    stopping: anyio.Event,
    *,
    tls: Callable[[], SSLContext | None] = lambda: None,
    request_within: float = REQUEST_WITHIN,
    read_within: float = READ_WITHIN,
    task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `app` until `stopping`; report once it accepts requests.

    A client that takes longer to send a request, or to read on, is disconnected. `tls` returns the
    context of the listener, if it has one.
    """
    config = uvicorn.Config(
        app,
        http=protocol(request_within, read_within),
        ws="none",
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=_CLOSE_STREAMS_WITHIN,
        h11_max_incomplete_event_size=_HEADER_LIMIT,
    )
    config.load()
    config.ssl = tls()
    server = _Server(config, request_within)

    async def stop_in_time() -> None:
        await stopping.wait()
        server.should_exit = True

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stop_in_time)
        task_status.started()
        await server.serve(sockets=[listener])
        tasks.cancel_scope.cancel()
