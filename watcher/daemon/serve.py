"""Opens the listeners and the store, serves the API, and runs generations until the end."""

import gc
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack

import anyio
import anyio.abc
from prometheus_client import CollectorRegistry

from watcher import __version__
from watcher.api import server
from watcher.api.app import create_api, create_telemetry
from watcher.configuration import plugins
from watcher.core.settings import Settings
from watcher.daemon.daemon import Daemon
from watcher.daemon.reload import ReloadRequests
from watcher.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)


async def serve(
    settings: Settings,
    requests: ReloadRequests,
    *,
    task_status: anyio.abc.TaskStatus[str] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Run the daemon until `requests` ends; report the API's base URL once everything runs.

    Raises `ConfigurationError` if an address cannot be used, and `StoreError` if the store cannot.
    """
    create_store = plugins.load("stores", settings.store.url.partition(":")[0]).create
    async with AsyncExitStack() as resources:
        listener = resources.enter_context(
            server.bind("server", settings.server.host, settings.server.port)
        )
        metrics = Metrics(CollectorRegistry(), __version__)
        opening = create_store(
            settings.store.url, max_size=settings.store.max_size, failed=metrics.store_errors.inc
        )
        daemon = Daemon(settings, await resources.enter_async_context(opening), metrics)
        url = server.url_of(listener)
        async with anyio.create_task_group() as tasks:
            await tasks.start(
                server.serve, create_api(daemon), listener, daemon.stopping, name="api"
            )
            await _serve_telemetry(daemon, resources, tasks)
            logger.info("the API listens on %s", url)
            started = _once(lambda: task_status.started(url))

            def ready() -> None:
                _freeze_garbage()
                started()

            current: Settings | None = settings
            while current is not None:
                current = await daemon.run_generation(current, requests, ready)
            daemon.stopping.set()
            daemon.outbox.set()  # ends the event streams, which wait for it


async def _serve_telemetry(
    daemon: Daemon, resources: AsyncExitStack, tasks: anyio.abc.TaskGroup
) -> None:
    if (telemetry := daemon.settings.telemetry) is None:
        return
    listener = resources.enter_context(server.bind("telemetry", telemetry.host, telemetry.port))
    logger.info("metrics and probes listen on %s", server.url_of(listener))
    application = create_telemetry(daemon)
    await tasks.start(server.serve, application, listener, daemon.stopping, name="telemetry")


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
