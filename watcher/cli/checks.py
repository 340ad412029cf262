"""Live checks of a source's key and of a channel's receiver."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import anyio
from prometheus_client import CollectorRegistry

from watcher import __version__
from watcher.configuration import plugins
from watcher.core.clock import wall_clock
from watcher.core.deliveries import Message
from watcher.core.errors import DeliveryError
from watcher.core.events import new_event_id, system_event
from watcher.core.interfaces.channel import Closing
from watcher.core.settings import ChannelSettings, SourceSettings
from watcher.delivery.notes import InMemoryNotes
from watcher.net.transport import channel_transport, create_transport
from watcher.polling.source_check import check_source
from watcher.telemetry.metrics import Metrics

_BACKEND = {"use_uvloop": os.name != "nt"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The result of one check."""

    name: str
    good: bool
    text: str


def check_sources(sources: Sequence[SourceSettings]) -> list[Verdict]:
    """Poll a task that cannot exist from each source: it must answer 404."""
    return [anyio.run(_check_source, source, backend_options=_BACKEND) for source in sources]


def test_channels(channels: Sequence[ChannelSettings]) -> list[Verdict]:
    """Send a test message to each channel."""
    return [anyio.run(_test_channel, channel, backend_options=_BACKEND) for channel in channels]


async def _check_source(settings: SourceSettings) -> Verdict:
    metrics = Metrics(CollectorRegistry(), __version__).source(settings.name)
    # One request needs no budget.
    alone = settings.model_copy(update={"requests_per_minute": None})
    async with create_transport(connections=1, reached=settings) as transport:
        create = plugins.load("sources", settings.type).create
        source = create(alone, transport=transport, metrics=metrics, wall=wall_clock)
        check = await check_source(source)
    return Verdict(name=settings.name, good=check.good, text=check.text)


async def _test_channel(settings: ChannelSettings) -> Verdict:
    data = {"channel": settings.name, "reason": "a test, sent by `watcher channels test`"}
    event = system_event(
        "watcher.test",
        at=wall_clock(),
        event_id=new_event_id(),
        data=data,
        order_key="test",
        channels=(),
    )
    async with channel_transport(settings) as transport:
        create = plugins.load("channels", settings.type).create
        channel = create(settings, transport=transport, notes=InMemoryNotes(), wall=wall_clock)
        try:
            receipt = await channel.send(
                Message(event_id=event.event_id, type=event.type, body=event.body)
            )
        except DeliveryError as error:
            return Verdict(name=settings.name, good=False, text=str(error))
        finally:
            if isinstance(channel, Closing):
                await channel.aclose()
    return Verdict(name=settings.name, good=True, text=f"HTTP {receipt.status}")
