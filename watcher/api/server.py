"""The listeners of the API and of telemetry."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import anyio.abc
import uvicorn
from starlette.types import ASGIApp

from watcher.api import unix_socket
from watcher.api.acceptor import Acceptor
from watcher.api.connection import READ_SIZE, READ_WITHIN, REQUEST_WITHIN, Listener
from watcher.api.connections import MOST_CONNECTIONS, Connections
from watcher.api.http_protocol import HttpProtocol
from watcher.api.rejections import Rejections
from watcher.api.turns import Turns
from watcher.core.errors import ConfigurationError
from watcher.core.listener_settings import ServerSettings, TelemetrySettings
from watcher.core.setting_types import local_url
from watcher.net.server_tls import ListenerTls

_CLOSE_STREAMS_WITHIN = 1
_BACKLOG = 4096  # the kernel has a limit of its own


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
    request_within: float = REQUEST_WITHIN,
    read_within: float = READ_WITHIN,
    most_connections: int = MOST_CONNECTIONS,
    task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `app` until `stopping`; report once it accepts requests.

    Listeners of the same process share `turns`. `name` is the listener's in the log. A client that
    takes longer to send a request, or to read on, is disconnected.
    """
    config = uvicorn.Config(
        app,
        http=HttpProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=_CLOSE_STREAMS_WITHIN,
    )
    config.load()
    server = _Server(config)
    turns = turns or Turns(asyncio.get_running_loop())
    shared = Listener(
        config=config,
        state=server.server_state,
        turns=turns,
        connections=Connections(turns.clock, most_connections),
        rejections=Rejections(name, anyio.current_time),
        request_within=request_within,
        read_within=read_within,
        tls=lambda: None if tls is None else tls.context,
        buffer=memoryview(bytearray(READ_SIZE)),
    )
    acceptor = Acceptor(shared, listener)

    async def stop_in_time() -> None:
        await stopping.wait()
        acceptor.close()
        shared.connections.close_waiting()
        server.should_exit = True

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stop_in_time)
        acceptor.start()
        task_status.started()
        try:
            await server.serve(sockets=[])
        finally:
            acceptor.close()
            listener.close()
            shared.connections.close_waiting()
        tasks.cancel_scope.cancel()
