"""A daemon within a command, for `watcher wait --standalone`: it polls, and sends nothing."""

import logging
import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.abc
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from watcher import __version__
from watcher.cli.address import Address
from watcher.configuration import plugins
from watcher.core.clock import wall_clock
from watcher.core.errors import DaemonError, SourceFailure
from watcher.core.listener_settings import ServerSettings
from watcher.core.settings import Settings, StoreSettings
from watcher.daemon.reload import ReloadRequests
from watcher.daemon.serve import serve
from watcher.net.transport import create_transport
from watcher.polling.source_check import check_source
from watcher.telemetry.metrics import Metrics


@asynccontextmanager
async def running(settings: Settings, source: str | None) -> AsyncIterator[Address]:
    """Poll with the sources of `settings`, in a store of its own; yields where its API listens.

    Raises `DaemonError` if `source` (default: the first) is unknown or rejects its key: waiting
    would have no end.
    """
    await _check_key(settings, source)
    logging.getLogger().setLevel(logging.ERROR)
    token = secrets.token_urlsafe(32)
    error: DaemonError | None = None
    with tempfile.TemporaryDirectory(prefix="watcher-wait-") as folder:
        requests = ReloadRequests()
        async with anyio.create_task_group() as tasks:
            url = await tasks.start(_serve, _alone(settings, Path(folder), token), requests)
            try:
                yield Address(url=url, token=token)
            except DaemonError as caught:  # the task group would make a group of it
                error = caught
            finally:
                tasks.cancel_scope.cancel()
    if error is not None:
        raise error


async def _serve(
    settings: Settings, requests: ReloadRequests, *, task_status: anyio.abc.TaskStatus[str]
) -> None:
    metrics = Metrics(CollectorRegistry(), __version__)
    await serve(settings, requests, metrics, task_status=task_status)


def _alone(settings: Settings, folder: Path, token: str) -> Settings:
    """Return the settings without what a daemon does beside polling."""
    return settings.model_copy(
        update={
            "discovery": (),
            "channels": (),
            "routes": (),
            "telemetry": None,
            "heartbeat": None,
            "store": StoreSettings(url=f"sqlite:///{folder / 'watcher.db'}"),
            "server": ServerSettings(port=0, api_token=SecretStr(token)),
        }
    )


async def _check_key(settings: Settings, name: str | None) -> None:
    sources = {source.name: source for source in settings.sources}
    source = settings.sources[0] if name is None else sources.get(name)
    if source is None:
        raise DaemonError(f"unknown source {name!r}; expected one of: {', '.join(sources)}")
    metrics = Metrics(CollectorRegistry(), __version__).source(source.name)
    async with create_transport(connections=1, reached=source) as transport:
        create = plugins.load("sources", source.type).create
        created = create(source, transport=transport, metrics=metrics, wall=wall_clock)
        check = await check_source(created)
    if check.reason in (SourceFailure.UNAUTHORIZED, SourceFailure.FORBIDDEN):
        raise DaemonError(f"source {source.name}: {check.text}")
