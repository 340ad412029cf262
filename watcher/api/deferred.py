"""What a listener serves from the start: probes and metrics, without a framework.

FastAPI and the routes of the API are half of a start. They are imported, in a thread, when a
request comes that is not a probe; a sidecar may never get one.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
from starlette.types import ASGIApp, Receive, Scope, Send

from watcher.api import host_names
from watcher.api.admission import Admission
from watcher.api.cors import Cors
from watcher.api.probe_responses import ProbedDaemon, Probes, is_probe

if TYPE_CHECKING:
    from watcher.api.dependencies import Daemon


class Deferred:
    """Passes probes to `probes`, and all else to what `create` returns, which is called once."""

    def __init__(self, probes: ASGIApp, create: Callable[[], ASGIApp]) -> None:
        self._probes = probes
        self._create = create
        self._lock = anyio.Lock()
        self._created: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        application = self._probes if is_probe(scope) else await self._application()
        await application(scope, receive, send)

    async def _application(self) -> ASGIApp:
        async with self._lock:
            if self._created is None:
                self._created = await anyio.to_thread.run_sync(self._create)
        return self._created


def api(daemon: "Daemon") -> Deferred:
    """Return the whole API."""

    def create() -> ASGIApp:
        from watcher.api.app import create_api

        return create_api(daemon)

    probes: ASGIApp = Admission(
        Probes(daemon),
        is_ours=lambda host: host_names.of_api(host, daemon.settings),
        detail=host_names.NOT_OF_API,
        origins=lambda: daemon.settings.server.cors_origins,
    )
    if origins := daemon.settings.server.cors_origins:
        probes = Cors(probes, origins)
    return Deferred(probes, create)


def telemetry(daemon: ProbedDaemon) -> Deferred:
    """Return only metrics and probes, for a listener that other machines can reach."""

    def create() -> ASGIApp:
        from watcher.api.app import create_telemetry

        return create_telemetry(daemon)

    probes = Admission(
        Probes(daemon),
        is_ours=lambda host: host_names.of_telemetry(host, daemon.settings),
        detail=host_names.NOT_OF_TELEMETRY,
    )
    return Deferred(probes, create)


def waiting(daemon: ProbedDaemon) -> Deferred:
    """Return metrics and probes of a daemon whose store is not open, for both listeners."""

    def create() -> ASGIApp:
        from watcher.api.app import create_waiting

        return create_waiting(daemon)

    probes = Admission(
        Probes(daemon),
        is_ours=lambda host: host_names.of_either(host, daemon.settings),
        detail=host_names.NOT_OF_EITHER,
    )
    return Deferred(probes, create)
