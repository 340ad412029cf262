"""Live checks of a source's key and of a channel's receiver."""

import os
import secrets
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

import anyio
from prometheus_client import CollectorRegistry

from watcher import __version__
from watcher.configuration import plugins
from watcher.core.clock import wall_clock
from watcher.core.deliveries import Message
from watcher.core.errors import DeliveryError, SourceError, SourceFailure
from watcher.core.events import new_event_id, system_event
from watcher.core.interfaces.channel import Closing
from watcher.core.settings import ChannelSettings, SourceSettings
from watcher.core.tasks import TaskNotFound
from watcher.delivery.notes import InMemoryNotes
from watcher.net.transport import channel_transport, create_transport
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
        try:
            await source.single.admit()
            async with aclosing(
                source.single.fetch([f"watcher-check-{secrets.token_hex(8)}"])
            ) as parts:
                answers = [answer async for part in parts for answer in part]
        except SourceError as error:
            hint = ": check the key" if error.reason is SourceFailure.UNAUTHORIZED else ""
            return Verdict(name=settings.name, good=False, text=f"{error}{hint}")
    if isinstance(answers[0], TaskNotFound):
        return Verdict(name=settings.name, good=True, text="reachable, and accepts the key")
    text = "returned a task that cannot exist: check base_url"
    return Verdict(name=settings.name, good=False, text=text)


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
