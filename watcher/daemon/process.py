"""The daemon as a process: signals, changed files, and the error that ends it."""

import logging
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.abc
from anyio.streams.memory import MemoryObjectSendStream

from watcher.configuration import checks, defaults, loader, secrets
from watcher.core.errors import WatcherError
from watcher.core.settings import Settings
from watcher.daemon.daemon import DELIVERY_GRACE
from watcher.daemon.reload import Reloader
from watcher.daemon.serve import serve
from watcher.telemetry import logs

logger = logging.getLogger(__name__)

FILE_CHECK_INTERVAL = 2.0
"""Seconds between two checks whether a file of a secret or a certificate has changed."""


def run(config: Path | None, environ: Mapping[str, str]) -> None:
    """Run the daemon as a process until a signal ends it.

    Raises `ConfigurationError` and `StoreUnusableError` if it cannot start.
    """
    settings = _load(config, environ)
    try:
        anyio.run(
            _run,
            settings,
            lambda: _load(config, environ),
            backend_options={"use_uvloop": os.name != "nt"},
        )
    except BaseExceptionGroup as group:
        # Raised within task groups; the user sees the one line that matters.
        expected, others = group.split(WatcherError)
        if expected is None or others is not None:
            raise
        raise _first(expected) from None


def _first(group: BaseExceptionGroup[WatcherError]) -> WatcherError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


def _load(config: Path | None, environ: Mapping[str, str]) -> Settings:
    settings = loader.load(defaults.find_file(config, environ), environ)
    logs.configure(settings.log, secrets=secrets.secret_values(settings))
    for warning in checks.warnings(settings):
        logger.warning("%s", warning)
    return settings


async def _run(settings: Settings, load: Callable[[], Settings]) -> None:
    sender, requests = anyio.create_memory_object_stream[Settings](1)
    reloader = Reloader(settings, load)
    async with anyio.create_task_group() as tasks:
        await tasks.start(_handle_signals, reloader, sender, name="signals")
        tasks.start_soon(_follow_files, reloader, sender, name="files")
        await serve(settings, requests)
        tasks.cancel_scope.cancel()


async def _handle_signals(
    reloader: Reloader,
    requests: MemoryObjectSendStream[Settings],
    *,
    task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    stopping = False
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        task_status.started()
        async for number in signals:
            if number == signal.SIGHUP:
                if not stopping and (reloaded := reloader.reload()) is not None:
                    await requests.send(reloaded)
            elif stopping:
                # The second signal ends the process at once; the store survives that.
                os._exit(128 + number)
            else:
                stopping = True
                logger.info("stopping: deliveries in flight get %g s", DELIVERY_GRACE)
                requests.close()


async def _follow_files(reloader: Reloader, requests: MemoryObjectSendStream[Settings]) -> None:
    """Reload the configuration when a file of a secret or a certificate has changed."""
    known = await _stamps(reloader.files)
    with suppress(anyio.ClosedResourceError):  # stopping
        while True:
            await anyio.sleep(FILE_CHECK_INTERVAL)
            files = reloader.files
            if (stamps := await _stamps(files)) != known:
                logger.info("a file of a secret or a certificate has changed")
                if (reloaded := reloader.reload()) is not None:
                    await requests.send(reloaded)
            known = stamps if files == reloader.files else await _stamps(reloader.files)


async def _stamps(files: Iterable[Path]) -> Mapping[Path, tuple[int, int] | None]:
    """Return inode and modification time of each file; Kubernetes replaces a link."""
    stamps: dict[Path, tuple[int, int] | None] = {}
    for file in files:
        try:
            status = await anyio.Path(file).stat()
            stamps[file] = (status.st_ino, status.st_mtime_ns)
        except OSError:
            stamps[file] = None
    return stamps
