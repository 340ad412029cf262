"""Live checks of a source's key and of a channel's receiver."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import anyio
from prometheus_client import CollectorRegistry

from watcher import __version__
from watcher.configuration import plugins
from watcher.core.clock import wall_clock
from watcher.core.settings import ChannelSettings, SourceSettings
from watcher.delivery.channel_check import check_channel
from watcher.delivery.notes import InMemoryNotes
from watcher.net.transport import channel_transport, create_transport
from watcher.polling.source_check import check_source
from watcher.telemetry.metrics import Metrics

_BACKEND = {"use_uvloop": os.name != "nt"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """The result of one check."""

    name: str
    good: bool
    text: str


def check_sources(sources: Sequence[SourceSettings]) -> list[CheckResult]:
    """Poll a task that cannot exist from each source: it must answer 404."""
    return [anyio.run(_check_source, source, backend_options=_BACKEND) for source in sources]


def test_channels(channels: Sequence[ChannelSettings], kind: str) -> list[CheckResult]:
    """Send a test message, an example event of type `kind`, to each channel."""
    return [
        anyio.run(_test_channel, channel, kind, backend_options=_BACKEND) for channel in channels
    ]


async def _check_source(settings: SourceSettings) -> CheckResult:
    metrics = Metrics(CollectorRegistry(), __version__).source(settings.name)
    async with create_transport(connections=1, reached=settings) as transport:
        create = plugins.load("sources", settings.type).create
        source = create(
            settings.without_limit(), transport=transport, metrics=metrics, wall=wall_clock
        )
        check = await check_source(source)
    return CheckResult(name=settings.name, good=check.good, text=check.text)


async def _test_channel(settings: ChannelSettings, kind: str) -> CheckResult:
    async with channel_transport(settings) as transport:
        create = plugins.load("channels", settings.type).create
        channel = create(settings, transport=transport, notes=InMemoryNotes(), wall=wall_clock)
        check = await check_channel(channel, settings.name, kind, wall_clock)
    return result_of(settings.name, check.status, check.error)


def result_of(channel: str, status: int | None, error: str | None) -> CheckResult:
    """Return the result of a test message to a channel."""
    if error is not None:
        return CheckResult(name=channel, good=False, text=error)
    return CheckResult(name=channel, good=True, text="sent" if status is None else f"HTTP {status}")
