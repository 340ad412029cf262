"""Posts the end of an outage into the thread of its beginning.

The channel's notes have the place of the message that announced an outage, so a restart changes
nothing. Their names hold a space, as the ID of a batch never does.
"""

from contextlib import suppress

import msgspec

from watcher.channels._text import event_data, line_of
from watcher.channels.slack.client import Bot, Posted
from watcher.channels.slack.errors import MessageGoneError
from watcher.channels.slack.renderer import Renderer
from watcher.core.deliveries import Message, Receipt
from watcher.core.errors import StoreError
from watcher.core.interfaces.channel import Notes

_BEGINS = ("source.unreachable", "channel.failing", "channel.stopped")
_ENDS = ("source.recovered", "channel.recovered")


class _Place(msgspec.Struct):
    channel: str = ""
    ts: str = ""


_decode = msgspec.json.Decoder(_Place).decode


class OutageMessages:
    """The messages about outages of one Slack channel."""

    def __init__(self, bot: Bot, notes: Notes, renderer: Renderer) -> None:
        self._bot = bot
        self._notes = notes
        self._renderer = renderer

    async def post(self, message: Message) -> Receipt:
        """Post a message about an outage. Raises `DeliveryError` and `StoreError`."""
        name = _note_of(message)
        beginning = await self._beginning(name) if message.type in _ENDS else None
        with self._renderer.rendered([message]) as content:
            try:
                receipt, posted = await self._bot.post(content, beginning)
            except MessageGoneError:
                receipt, posted = await self._bot.post(content)
        if message.type in _BEGINS:
            await self._note(name, _Place(channel=posted.channel, ts=posted.ts))
        elif beginning is not None:
            await self._note(name, _Place())
        return receipt

    async def _note(self, name: str, place: _Place) -> None:
        # The message is posted. Without a note, the end of the outage is a message of its own.
        with suppress(StoreError):
            await self._notes.write(name, msgspec.json.encode(place))

    async def _beginning(self, name: str) -> Posted | None:
        try:
            place = _decode(await self._notes.read(name) or b"{}")
        except msgspec.MsgspecError:
            return None
        return Posted(channel=place.channel, ts=place.ts) if place.ts else None


def is_outage(message: Message) -> bool:
    return message.type in (*_BEGINS, *_ENDS)


def _note_of(message: Message) -> str:
    subject = message.type.partition(".")[0]
    return f"outage {subject} {line_of(event_data(message), subject)[:256]}"
