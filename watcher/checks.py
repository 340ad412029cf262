"""What the commands try for real: a source's key and a channel's receiver, without a daemon."""

import os
import secrets
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

import anyio
from prometheus_client import CollectorRegistry

from watcher import __version__, plugins
from watcher.clock import wall_clock
from watcher.errors import DeliveryError, SourceError, SourceFailure
from watcher.metrics import Metrics
from watcher.model import Message, Missing
from watcher.payload import new_event_id, notice_event
from watcher.settings import ChannelSettings, SourceSettings
from watcher.transport import create_transport

_BACKEND = {"use_uvloop": os.name != "nt"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of one try."""

    name: str
    good: bool
    text: str


def check_sources(sources: Sequence[SourceSettings]) -> list[Verdict]:
    """Ask each source for a task that cannot exist: that it does not know it is good, 401 is a bad key."""
    return [anyio.run(_check_source, source, backend_options=_BACKEND) for source in sources]


def test_channels(channels: Sequence[ChannelSettings]) -> list[Verdict]:
    """Send one marked message to each channel."""
    return [anyio.run(_test_channel, channel, backend_options=_BACKEND) for channel in channels]


async def _check_source(settings: SourceSettings) -> Verdict:
    metrics = Metrics(CollectorRegistry(), __version__).source(settings.name)
    # One request needs no budget, and a person waits for it.
    alone = settings.model_copy(update={"requests_per_minute": None})
    async with create_transport(connections=1) as transport:
        create = plugins.load("sources", settings.type).create
        source = create(alone, transport=transport, metrics=metrics, wall=wall_clock)
        try:
            await source.single.admit()
            async with aclosing(source.single.fetch([f"watcher-check-{secrets.token_hex(8)}"])) as parts:
                answers = [answer async for part in parts for answer in part]
        except SourceError as error:
            hint = ": check the key" if error.reason is SourceFailure.UNAUTHORIZED else ""
            return Verdict(name=settings.name, good=False, text=f"{error}{hint}")
    known = not isinstance(answers[0], Missing)
    text = "it knows a task that cannot exist" if known else "it answers, and takes the key"
    return Verdict(name=settings.name, good=not known, text=text)


async def _test_channel(settings: ChannelSettings) -> Verdict:
    told = {"channel": settings.name, "reason": "a test, sent by `watcher channels test`"}
    event = notice_event(
        "watcher.test", at=wall_clock(), event_id=new_event_id(), data=told, order_key="test", channels=()
    )
    async with create_transport(connections=1) as transport:
        channel = plugins.load("channels", settings.type).create(settings, transport=transport, wall=wall_clock)
        try:
            status = await channel.send(Message(event_id=event.event_id, type=event.type, body=event.body))
        except DeliveryError as error:
            return Verdict(name=settings.name, good=False, text=str(error))
    return Verdict(name=settings.name, good=True, text=f"HTTP {status}")
