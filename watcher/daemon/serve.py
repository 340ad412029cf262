"""Opens the listeners and the store, serves the API, and runs the daemon until the end."""

import asyncio
import gc
import logging
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from functools import partial

import anyio
import anyio.abc

from watcher.api import server
from watcher.api.app import create_api, create_telemetry
from watcher.api.turns import Turns
from watcher.configuration import plugins
from watcher.core.errors import ConfigurationError
from watcher.core.listener_settings import ServerSettings
from watcher.core.settings import Settings
from watcher.daemon import store_files
from watcher.daemon.daemon import Daemon
from watcher.daemon.reload import ReloadRequests
from watcher.net.server_tls import ListenerTls
from watcher.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)


async def serve(
    settings: Settings,
    requests: ReloadRequests,
    metrics: Metrics,
    *,
    task_status: anyio.abc.TaskStatus[str] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Run the daemon until `requests` stop it; report the API's base URL once everything runs.

    Raises `ConfigurationError` if an address cannot be used, and `StoreError` if the store cannot.
    """
    create_store = plugins.load("stores", settings.store.url.partition(":")[0]).create
    async with AsyncExitStack() as resources:
        listener, tls = resources.enter_context(server.listening("server", settings.server))
        opening = create_store(
            settings.store.url, max_size=settings.store.max_size, failed=metrics.store_errors.inc
        )
        daemon = Daemon(settings, await resources.enter_async_context(opening), metrics)
        url = server.url_of(listener, tls=tls is not None)
        async with anyio.create_task_group() as tasks:
            turns = Turns(asyncio.get_running_loop())
            serve_api = partial(server.serve, name="server", turns=turns, tls=tls)
            await tasks.start(serve_api, create_api(daemon), listener, daemon.stopping, name="api")
            encrypted = [tls, await _serve_telemetry(daemon, resources, tasks, turns)]
            logger.info("the API listens on %s", url)
            _warn_without_token(settings.server)
            following = anyio.CancelScope()
            tasks.start_soon(store_files.follow, daemon.store, following, name="store files")
            started = _once(lambda: task_status.started(url))

            def applied(sources_started: bool) -> None:
                if sources_started:
                    _freeze_garbage()
                _reload_certificates(encrypted)
                started()

            await daemon.run(settings, requests, applied)
            following.cancel()
            daemon.stopping.set()
            daemon.outbox.set()  # ends the event streams, which wait for it


def _warn_without_token(api: ServerSettings) -> None:
    if api.api_token is None:
        who = "every user" if api.socket is None else "every user of the socket's group"
        logger.warning(
            "the API has no token: %s of this host can read tasks with their inputs, pause and "
            "purge channels, and remove watches; set server.api_token%s",
            who,
            " or server.socket" if api.socket is None else "",
        )


async def _serve_telemetry(
    daemon: Daemon, resources: AsyncExitStack, tasks: anyio.abc.TaskGroup, turns: Turns
) -> ListenerTls | None:
    if (telemetry := daemon.settings.telemetry) is None:
        return None
    listener, tls = resources.enter_context(server.listening("telemetry", telemetry))
    logger.info("metrics and probes listen on %s", server.url_of(listener, tls=tls is not None))
    serve_telemetry = partial(server.serve, name="telemetry", turns=turns, tls=tls)
    application = create_telemetry(daemon)
    await tasks.start(serve_telemetry, application, listener, daemon.stopping, name="telemetry")
    return tls


def _reload_certificates(listeners: Iterable[ListenerTls | None]) -> None:
    """Use the current certificates of the listeners for new connections."""
    for tls in listeners:
        if tls is not None:
            try:
                tls.reload()
            except ConfigurationError as error:  # replaced since the configuration was read
                logger.error("the old certificate stays in use: %s", error)


def _freeze_garbage() -> None:
    """Keep the garbage collector from scanning the watchlist repeatedly."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def _once(call: Callable[[], None]) -> Callable[[], None]:
    """Return a function that calls `call` the first time only."""
    calls = [call]

    def call_once() -> None:
        if calls:
            calls.pop()()

    return call_once
