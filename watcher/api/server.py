"""The listeners of the API and of telemetry."""

import asyncio
import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio
import anyio.abc
import uvicorn
from starlette.types import ASGIApp

from watcher.api import unix_socket
from watcher.api.acceptor import Acceptor
from watcher.api.connection import READ_SIZE
from watcher.api.connections import Connections
from watcher.api.http_protocol import HttpProtocol
from watcher.api.listener import Limits, Listener
from watcher.api.rejections import Rejections
from watcher.api.turns import Turns
from watcher.core.errors import ConfigurationError
from watcher.core.listener_settings import ServerSettings, TelemetrySettings
from watcher.core.local_address import local_url
from watcher.net.server_tls import ListenerTls

EVERY_ADDRESS = "::"
_NO_IPV6 = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})
_CLOSE_WITHIN = 1
"""Seconds for requests to end once the daemon stops."""
_BACKLOG = 4096  # the kernel has a limit of its own


def bind(
    section: str, host: str, port: int, create: Callable[..., socket.socket] = socket.socket
) -> socket.socket:
    """Return a socket that listens on `host` and `port` (0: any free one).

    `::` is every address, of IPv4 too, and of IPv4 alone where there is no IPv6. Raises
    `ConfigurationError` with the name of the `section` if that is not possible.
    """
    try:
        try:
            return _bound(host, port, create)
        except OSError as error:
            if host != EVERY_ADDRESS or error.errno not in _NO_IPV6:
                raise
            return _bound("0.0.0.0", port, create)  # noqa: S104
    except OSError as error:
        raise ConfigurationError(
            [f"{section}: cannot listen on {host} port {port}: {error.strerror}"]
        ) from None


def _bound(host: str, port: int, create: Callable[..., socket.socket]) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = create(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # Whatever the system's default is.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host != EVERY_ADDRESS)
        listener.bind(address)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


@contextmanager
def listening(
    section: str, settings: ServerSettings | TelemetrySettings
) -> Iterator[tuple[socket.socket, ListenerTls | None]]:
    """Open the listener of a section; also return its TLS, if it has any.

    Raises `ConfigurationError` if that is not possible.
    """
    tls = None if settings.tls is None else ListenerTls(settings.tls)
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

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    app: ASGIApp,
    listener: socket.socket,
    stopping: anyio.Event,
    *,
    name: str = "server",
    turns: Turns | None = None,
    tls: ListenerTls | None = None,
    limits: Limits = Limits(),  # noqa: B008  # frozen
    task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `app` until `stopping`; report once it accepts requests.

    Listeners of the same process share `turns`. `name` is the listener's in the log.
    """
    server = _Server(_configuration(app))
    turns = turns or Turns(asyncio.get_running_loop())
    shared = Listener(
        config=server.config,
        state=server.server_state,
        turns=turns,
        connections=Connections(turns.clock, limits.most_connections),
        rejections=Rejections(name, anyio.current_time),
        limits=limits,
        tls=lambda: None if tls is None else tls.context,
        buffer=memoryview(bytearray(READ_SIZE)),
    )
    acceptor = Acceptor(shared, listener)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_stop_in_time, server, acceptor, shared.connections, stopping)
        acceptor.start()
        task_status.started()
        try:
            await server.serve(sockets=[])
        finally:
            acceptor.close()
            listener.close()
            shared.connections.close_all()
        tasks.cancel_scope.cancel()


def _configuration(app: ASGIApp) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        http=HttpProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=2 * _CLOSE_WITHIN,
    )
    config.load()
    return config


async def _stop_in_time(
    server: _Server, acceptor: Acceptor, connections: Connections, stopping: anyio.Event
) -> None:
    """Let requests end for a moment, then end them: uvicorn would log an error for each wait."""
    await stopping.wait()
    acceptor.close()
    connections.close_waiting()
    server.should_exit = True
    await anyio.sleep(_CLOSE_WITHIN)
    for task in server.server_state.tasks:
        task.cancel()
    connections.close_all()
