"""One marked message that shows whether a channel delivers."""

from dataclasses import dataclass

from watcher.core.clock import Clock
from watcher.core.deliveries import Message
from watcher.core.errors import DeliveryError
from watcher.core.events import new_event_id
from watcher.core.example_events import example_event
from watcher.core.interfaces.channel import Channel, Closing


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelCheck:
    """How the attempt ended: `status` is the HTTP status, `error` why it failed, None if not."""

    status: int | None
    error: str | None


async def check_channel(channel: Channel, name: str, kind: str, wall: Clock) -> ChannelCheck:
    """Send an example event of type `kind` once, and close the channel."""
    event = example_event(kind, channel=name, at=wall(), event_id=new_event_id())
    try:
        receipt = await channel.send(
            Message(event_id=event.event_id, type=event.type, body=event.body)
        )
    except DeliveryError as error:
        return ChannelCheck(status=error.status, error=str(error))
    finally:
        if isinstance(channel, Closing):
            await channel.aclose()
    return ChannelCheck(status=receipt.status, error=None)
