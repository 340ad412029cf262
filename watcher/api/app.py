"""Assembles the HTTP API from its parts."""

import time
from typing import Any

from fastapi import FastAPI

from watcher import __version__
from watcher.api import error_handlers, host_names
from watcher.api.admission import Admission
from watcher.api.attempts import TokenAttempts
from watcher.api.auth import Guard
from watcher.api.bodies import NO_BODY_BY_METHOD
from watcher.api.channels import channels
from watcher.api.cors import Cors
from watcher.api.deliveries import deliveries
from watcher.api.dependencies import Daemon
from watcher.api.events import events
from watcher.api.openapi import document_of
from watcher.api.origins import origin_of
from watcher.api.page.parts import parts
from watcher.api.page.paths import is_page
from watcher.api.page.prefix import Prefix
from watcher.api.page.routes import pages
from watcher.api.probe_responses import ProbedDaemon
from watcher.api.probes import probes
from watcher.api.routes import routes
from watcher.api.status import status
from watcher.api.upstream import upstream
from watcher.api.watches import MAX_ENTRIES, one_entry, watches
from watcher.core.errors import StoreError


def create_api(daemon: Daemon) -> FastAPI:
    """Return the whole API."""
    api = _application("The watcher", daemon)
    for router in (status, watches, events, deliveries, channels, routes, probes, upstream):
        api.include_router(router)
    for router in pages:
        api.include_router(router)
    api.state.attempts = TokenAttempts(time.monotonic)
    api.add_middleware(
        Guard,
        token=lambda: daemon.settings.server.api_token,
        attempts=api.state.attempts,
    )
    api.add_middleware(
        Admission,
        is_ours=lambda host: host_names.of_api(host, daemon.settings),
        detail=host_names.NOT_OF_API,
        origins=lambda: daemon.settings.server.cors_origins,
        is_page=is_page,
        own_origin=lambda: origin_of(daemon.settings.server.external_url),
    )
    if origins := daemon.settings.server.cors_origins:
        # Outside the others, because a browser's preflight request carries no token.
        api.add_middleware(Cors, origins=origins)

    api.add_middleware(Prefix, url=lambda: daemon.settings.server.external_url)

    documents: dict[tuple[str, ...], dict[str, Any]] = {}

    def openapi() -> dict[str, Any]:
        sources = tuple(source.name for source in daemon.settings.sources)
        if sources not in documents:
            documents.clear()
            documents[sources] = document_of(api, sources, one_entry, MAX_ENTRIES)
        return documents[sources]

    api.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it
    return api


def create_telemetry(daemon: ProbedDaemon) -> FastAPI:
    """Return only metrics and probes, for a listener that other machines can reach."""
    api = _application("The watcher's telemetry", daemon)
    api.include_router(probes)
    api.add_middleware(
        Admission,
        is_ours=lambda host: host_names.of_telemetry(host, daemon.settings),
        detail=host_names.NOT_OF_TELEMETRY,
    )
    return api


def create_waiting(daemon: ProbedDaemon) -> FastAPI:
    """Return metrics and probes of a daemon whose store is not open, for both listeners; all other
    calls are 503 with the reason.
    """
    api = _application("The watcher, which waits for its store", daemon)
    api.include_router(probes)
    api.include_router(parts)

    async def wait() -> None:
        raise StoreError(await daemon.health.unready() or "the store is not open yet")

    methods = ["GET", "HEAD", "POST", "DELETE"]
    api.add_api_route("/{path:path}", wait, methods=methods, include_in_schema=False)
    api.add_middleware(
        Admission,
        is_ours=lambda host: host_names.of_either(host, daemon.settings),
        detail=host_names.NOT_OF_EITHER,
    )
    return api


def _application(title: str, daemon: ProbedDaemon) -> FastAPI:
    api = FastAPI(
        title=title,
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # its redirects are absolute, which a proxy's prefix breaks
        dependencies=[NO_BODY_BY_METHOD],
    )
    api.state.daemon = daemon
    api.state.streams = 0
    error_handlers.install(api)
    return api
