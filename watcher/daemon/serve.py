"""Opens the listeners and the store, serves the API, and runs the daemon until the end."""

import asyncio
import gc
import logging
import socket
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial

import anyio
import anyio.abc

from watcher.api import deferred, server
from watcher.api.turns import Turns
from watcher.configuration import plugins
from watcher.core.errors import ConfigurationError
from watcher.core.interfaces.store import Store
from watcher.core.listener_settings import ServerSettings
from watcher.core.settings import Settings
from watcher.daemon import opening, store_files, waiting
from watcher.daemon.daemon import Daemon
from watcher.daemon.freed_memory import return_free_pages
from watcher.daemon.reload import ReloadRequests
from watcher.daemon.waiting import WaitingDaemon
from watcher.net.server_tls import ListenerTls
from watcher.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

Listening = tuple[socket.socket, ListenerTls | None]
"""A listener, and its TLS if it has any."""


async def serve(
    settings: Settings,
    requests: ReloadRequests,
    metrics: Metrics,
    *,
    task_status: anyio.abc.TaskStatus[str] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Run the daemon until `requests` stop it; report the API's base URL once everything runs.

    Raises `ConfigurationError` if an address cannot be used, and `StoreError` if the store cannot;
    on a full disk, or while a server cannot be reached, it waits.
    """
    async with AsyncExitStack() as resources:
        api, telemetry = _listeners(settings, resources)
        turns = Turns(asyncio.get_running_loop())
        store = await waiting.opened(
            _create_store(settings, metrics),
            resources,
            partial(WaitingDaemon, settings, metrics),
            partial(_serve_waiting, api, telemetry, turns),
            requests.stopping,
        )
        if store is None:
            return
        daemon = Daemon(settings, store, metrics)
        url = server.url_of(api[0], tls=api[1] is not None)
        async with anyio.create_task_group() as tasks:
            encrypted = await _serve_both(daemon, api, telemetry, tasks, turns)
            _log_opening(settings, url)
            following, checking = anyio.CancelScope(), anyio.CancelScope()
            tasks.start_soon(store_files.follow, daemon.store, following, name="store files")

            def start() -> None:
                tasks.start_soon(opening.log_state, daemon, checking, name="opening lines")
                task_status.started(url)

            await daemon.run(settings, requests, _applied(encrypted, _once(start)))
            following.cancel()
            checking.cancel()
            _stop_serving(daemon)


def _applied(
    encrypted: Iterable[ListenerTls | None], started: Callable[[], None]
) -> Callable[[bool], None]:
    """Return what is called each time everything runs as settings demand."""

    def applied(sources_changed: bool) -> None:
        if sources_changed:
            _freeze_garbage()
            return_free_pages()
        _reload_certificates(encrypted)
        started()

    return applied


def _log_opening(settings: Settings, url: str) -> None:
    opening.log_version()
    logger.info("the API listens on %s", url)
    _log_page(settings.server, url)
    _warn_without_token(settings.server)
    opening.log_channels(settings)


def _listeners(settings: Settings, resources: AsyncExitStack) -> tuple[Listening, Listening | None]:
    """Open the listeners of the API and, if it is configured, of telemetry."""
    api = resources.enter_context(server.listening("server", settings.server))
    if settings.telemetry is None:
        return api, None
    return api, resources.enter_context(server.listening("telemetry", settings.telemetry))


def _create_store(
    settings: Settings, metrics: Metrics
) -> Callable[[], AbstractAsyncContextManager[Store]]:
    store = settings.store
    create: Callable[..., AbstractAsyncContextManager[Store]] = plugins.load_store(store.url).create
    limit = {} if store.max_size is None else {"max_size": store.max_size}
    return partial(
        create,
        store.url,
        failed=metrics.store_errors.inc,
        committed=metrics.store_commit_took,
        **limit,
    )


def _log_page(api: ServerSettings, url: str) -> None:
    """Log at which address a browser shows the live page; a socket has none."""
    address = api.external_url or url
    if address.startswith("http"):
        logger.info("the live page is at %s/", address.rstrip("/"))


def _warn_without_token(api: ServerSettings) -> None:
    if api.api_token is None:
        who = "every user" if api.socket is None else "every user of the socket's group"
        logger.warning(
            "the API has no token: %s of this host can read tasks with their inputs, pause and "
            "purge channels, and remove watches; set server.api_token%s",
            who,
            " or server.socket" if api.socket is None else "",
        )


async def _serve_waiting(
    api: Listening,
    telemetry: Listening | None,
    turns: Turns,
    shown: WaitingDaemon,
    tasks: anyio.abc.TaskGroup,
) -> None:
    """Serve the probes of a daemon without a store on copies of the listeners."""
    application = deferred.waiting(shown)
    for name, listening in (("server", api), ("telemetry", telemetry)):
        if listening is not None:
            listener, tls = listening
            serve_probes = partial(server.serve, name=name, turns=turns, tls=tls)
            await tasks.start(serve_probes, application, listener.dup(), anyio.Event(), name=name)


async def _serve_both(
    daemon: Daemon,
    api: Listening,
    telemetry: Listening | None,
    tasks: anyio.abc.TaskGroup,
    turns: Turns,
) -> list[ListenerTls | None]:
    """Serve the API and telemetry; return their TLS, as far as they have any."""
    listener, tls = api
    serve_api = partial(server.serve, name="server", turns=turns, tls=tls)
    await tasks.start(serve_api, deferred.api(daemon), listener, daemon.stopping, name="api")
    if telemetry is None:
        return [tls]
    second, second_tls = telemetry
    serve_second = partial(server.serve, name="telemetry", turns=turns, tls=second_tls)
    application = deferred.telemetry(daemon)
    await tasks.start(serve_second, application, second, daemon.stopping, name="telemetry")
    url = server.url_of(second, tls=second_tls is not None)
    logger.info("metrics and probes listen on %s", url)
    return [tls, second_tls]


def _stop_serving(daemon: Daemon) -> None:
    daemon.stopping.set()
    daemon.outbox.set()  # ends the event streams, which wait for it


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
