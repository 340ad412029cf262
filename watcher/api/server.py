"""The listeners of the API and of telemetry."""

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import anyio.abc
import uvicorn
from starlette.types import ASGIApp

from watcher.api.timeouts import READ_WITHIN, REQUEST_WITHIN, protocol
from watcher.core.errors import ConfigurationError
from watcher.core.setting_types import local_url

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


def url_of(listener: socket.socket) -> str:
    """Return the base URL of `listener`, as seen from this machine."""
    return local_url(*listener.getsockname()[:2])


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
    request_within: float = REQUEST_WITHIN,
    read_within: float = READ_WITHIN,
    task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `app` until `stopping`; report once it accepts requests.

    A client that takes longer to send a request, or to read on, is disconnected.
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
    server = _Server(config)

    async def stop_in_time() -> None:
        await stopping.wait()
        server.should_exit = True

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stop_in_time)
        task_status.started()
        await server.serve(sockets=[listener])
        tasks.cancel_scope.cancel()
