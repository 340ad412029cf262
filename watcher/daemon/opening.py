"""The lines that the daemon logs when it starts: store, sources, channels."""

import logging

import anyio

from watcher import __version__
from watcher.configuration import plugins
from watcher.core.errors import StoreError
from watcher.core.log_fields import about
from watcher.core.routing import received_by
from watcher.core.settings import Settings, SourceSettings
from watcher.daemon.daemon import Daemon
from watcher.polling.source_check import check_source
from watcher.telemetry.metrics import Component

logger = logging.getLogger(__name__)


def log_version() -> None:
    """Log which version starts."""
    logger.info("watcher %s", __version__)


def log_channels(settings: Settings) -> None:
    """Log what each channel receives."""
    for channel in settings.channels:
        logger.info(
            "channel %r (%s): %s",
            channel.name,
            channel.type,
            received_by(channel.name, settings.effective_routes),
            extra=about(channel=channel.name),
        )


async def log_state(daemon: Daemon, scope: anyio.CancelScope) -> None:
    """Log what is watched, and whether each source accepts its key, until `scope` is cancelled.

    Costs each source one request of its budget; what it needs of time delays nothing else.
    """
    with scope:
        await _log_store(daemon)
        async with anyio.create_task_group() as tasks:
            for source in daemon.settings.sources:
                tasks.start_soon(_log_source, daemon, source)


async def _log_store(daemon: Daemon) -> None:
    try:
        active, ended = await daemon.count_watches()
    except StoreError as error:
        logger.warning("%s", error)
        return
    url = daemon.settings.store.url
    shown = plugins.load_store(url).shown(url)
    logger.info("store %s: %d active and %d ended watches", shown, active, ended)


async def _log_source(daemon: Daemon, settings: SourceSettings) -> None:
    source = daemon.source(settings.name)
    if source is None:
        return
    try:
        check = await check_source(source)
    except Exception as error:  # noqa: BLE001  # the poller meets it too, and continues
        daemon.unexpected.report(Component.POLLER, error)
        return
    if daemon.source(settings.name) is source:  # a reload has not replaced it meanwhile
        logger.log(
            logging.INFO if check.good else logging.WARNING,
            "source %r at %s: %s",
            settings.name,
            getattr(settings, "base_url", settings.type),
            check.text,
            extra=about(source=settings.name),
        )
