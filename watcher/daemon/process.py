"""The daemon as a process: signals, changed files, and the error that ends it."""

import logging
import os
import signal
from collections.abc import Mapping
from pathlib import Path

import anyio
import anyio.abc
from prometheus_client import CollectorRegistry

from watcher import __version__
from watcher.configuration import (
    checks,
    defaults,
    file_rights,
    loader,
    replaced_files,
    yaml_document,
)
from watcher.configuration.yaml_document import Document
from watcher.core.clock import wall_clock
from watcher.core.errors import ConfigurationError, WatcherError
from watcher.core.settings import Settings
from watcher.daemon import open_files
from watcher.daemon.freed_memory import return_freed_memory
from watcher.daemon.reload import Reloader, ReloadRequests
from watcher.daemon.serve import serve
from watcher.daemon.units import DELIVERY_GRACE
from watcher.telemetry import logs
from watcher.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

LOG_GRACE = 1.0
"""Seconds that the last lines get to be read, at the end of the process."""
FILE_CHECK_INTERVAL = 2.0
"""Seconds between two checks whether a file that the configuration depends on has changed."""


def run(config: Path | None, environ: Mapping[str, str]) -> None:
    """Run the daemon as a process until a signal ends it.

    Raises `ConfigurationError` and `StoreUnusableError` if it cannot start.
    """
    try:
        _run_configured(_Configuration(config, environ))
    finally:
        logs.flush(LOG_GRACE)


def _run_configured(configuration: "_Configuration") -> None:
    settings = configuration.load()
    open_files.raise_limit()
    return_freed_memory()
    try:
        anyio.run(_run, settings, configuration, backend_options={"use_uvloop": os.name != "nt"})
    except BaseExceptionGroup as group:
        # Raised within task groups; the user sees the one line that matters.
        expected, others = group.split(WatcherError)
        if expected is None or others is not None:
            raise
        raise _first(expected) from None
    logger.info("stopped")


def _first(group: BaseExceptionGroup[WatcherError]) -> WatcherError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


class _Configuration:
    """Reads the configuration, and remembers the last file that was valid."""

    def __init__(self, config: Path | None, environ: Mapping[str, str]) -> None:
        self._config = config
        self._environ = environ
        self._valid = yaml_document.EMPTY

    def load(self) -> Settings:
        """Return the current settings. Raises `ConfigurationError`, whose `files` include the
        configuration itself.
        """
        path = defaults.find_file(self._config, self._environ)
        try:
            document = loader.read(path)
            settings = self._applied(document)
        except ConfigurationError as error:
            files = error.files if path is None else error.files | {path}
            raise ConfigurationError(error.problems, files) from None
        self._valid = document
        mounted = settings.files if path is None else settings.files | {path}
        for warning in (
            *checks.warnings(settings),
            *file_rights.warnings(settings, path),
            *replaced_files.warnings(sorted(mounted)),
        ):
            logger.warning("%s", warning)
        return settings

    def load_secrets(self) -> Settings:
        """Return the settings of the last valid file, with the secrets as they are now. Raises
        `ConfigurationError`.
        """
        return self._applied(self._valid)

    def _applied(self, document: Document) -> Settings:
        settings = loader.settings_of(document, self._environ)
        logs.configure(settings.log)
        return settings


async def _run(settings: Settings, configuration: _Configuration) -> None:
    metrics = Metrics(CollectorRegistry(), __version__)
    metrics.reloaded(True, wall_clock())
    requests = ReloadRequests()
    reloader = Reloader(
        settings,
        configuration.load,
        configuration.load_secrets,
        lambda succeeded: metrics.reloaded(succeeded, wall_clock()),
    )
    async with anyio.create_task_group() as tasks:
        await tasks.start(_handle_signals, reloader, requests, name="signals")
        tasks.start_soon(_follow_files, reloader, requests, name="files")
        await serve(settings, requests, metrics)
        tasks.cancel_scope.cancel()


async def _handle_signals(
    reloader: Reloader,
    requests: ReloadRequests,
    *,
    task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    stopping = False
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        task_status.started()
        async for number in signals:
            if number == signal.SIGHUP:
                if not stopping and (reloaded := reloader.reload()) is not None:
                    requests.reload(reloaded)
            elif stopping:
                # The second signal ends the process at once; the store survives that.
                logs.flush(0.1)
                os._exit(128 + number)
            else:
                stopping = True
                logger.info("stopping: deliveries in flight get %g s", DELIVERY_GRACE)
                requests.stop()


async def _follow_files(reloader: Reloader, requests: ReloadRequests) -> None:
    """Reload the configuration when a file has changed that is a reason for it."""
    while True:
        await anyio.sleep(FILE_CHECK_INTERVAL)
        if await anyio.to_thread.run_sync(reloader.files_changed, abandon_on_cancel=True):
            logger.info("a file of the configuration, a secret or a certificate has changed")
            if (reloaded := reloader.reload()) is not None:
                requests.reload(reloaded)
