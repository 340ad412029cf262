"""One message for each batch, changed in place as its tasks go on, with the failures in its thread.

What is shown of a batch is kept in the channel's notes, so that a restart goes on with the same message. A process that
dies between Slack's answer and the note may post twice; what a thread was told is noted by event, and told once.
"""

from collections import OrderedDict
from collections.abc import Sequence

import anyio
import msgspec

from watcher.channels._text import status_of
from watcher.channels.slack.blocks import Style, render, render_batch, render_digest
from watcher.channels.slack.client import Bot, MessageGoneError, Posted
from watcher.core.deliveries import Message, Receipt
from watcher.core.interfaces.channel import Notes
from watcher.core.routing import matches

UPDATE_EVERY = 5.0
"""Seconds between two changes of a message."""

_SINGLY = 5
_IN_MEMORY = 200
_TOLD = 2000
_IN_THREAD = ("task.failed", "task.completed_with_errors", "task.lost", "task.stalled")


class _Shown(msgspec.Struct):
    """What is kept of a batch: where its message is, its tasks' statuses, and the events its thread was told.

    A task's sequence stands before its status, for an event that is sent again may be older than what is shown.
    """

    channel: str = ""
    ts: str = ""
    statuses: dict[str, tuple[int, str]] = {}
    told: list[str] = []


_decode = msgspec.json.Decoder(_Shown).decode


class _Batch:
    def __init__(self, shown: _Shown) -> None:
        self.shown = shown
        self.lock = anyio.Lock()
        self.changed_at = -UPDATE_EVERY
        self.version = self.shown_version = 0
        self.receipt = Receipt(status=200)

    @property
    def posted(self) -> Posted | None:
        return Posted(channel=self.shown.channel, ts=self.shown.ts) if self.shown.ts else None


class Batches:
    """The messages about batches in one Slack channel."""

    def __init__(self, bot: Bot, notes: Notes, style: Style) -> None:
        self._bot = bot
        self._notes = notes
        self._style = style
        self._batches: OrderedDict[str, _Batch] = OrderedDict()

    async def tell(self, name: str, messages: Sequence[Message]) -> Receipt:
        """Show what `messages` tell of the batch; returns once Slack has it. Raises `DeliveryError`, `StoreError`."""
        batch = await self._batch(name)
        for task_id, status, sequence in map(status_of, messages):
            if sequence >= batch.shown.statuses.get(task_id, (0, ""))[0]:
                batch.shown.statuses[task_id] = (sequence, status)
        batch.version += 1
        mine = batch.version
        async with batch.lock:
            if batch.posted is None:
                await self._show(name, batch)
            await self._tell_thread(name, batch, messages)
        while batch.shown_version < mine:
            await anyio.sleep_until(batch.changed_at + UPDATE_EVERY)
            async with batch.lock:
                if (
                    batch.shown_version < mine
                    and anyio.current_time() >= batch.changed_at + UPDATE_EVERY
                ):
                    await self._show(name, batch)
        return batch.receipt

    async def _show(self, name: str, batch: _Batch) -> None:
        """Post the batch's message, or change it."""
        version = batch.version
        content = render_batch(
            name, {task_id: status for task_id, (_, status) in batch.shown.statuses.items()}
        )
        batch.changed_at = anyio.current_time()
        if batch.posted is not None:
            try:
                batch.receipt = await self._bot.update(batch.posted, content)
            except MessageGoneError:
                batch.shown.ts = ""
        if batch.posted is None:
            batch.receipt, posted = await self._bot.post(content)
            batch.shown.channel, batch.shown.ts = posted.channel, posted.ts
        batch.shown_version = version
        await self._keep(name, batch)

    async def _tell_thread(self, name: str, batch: _Batch, messages: Sequence[Message]) -> None:
        told = frozenset(batch.shown.told)
        failures = [
            one for one in messages if matches(_IN_THREAD, one.type) and one.event_id not in told
        ]
        groups = [[one] for one in failures] if len(failures) <= _SINGLY else [failures]
        for group in groups:
            content = (
                render(group[0], self._style)
                if len(group) == 1
                else render_digest(group, self._style)
            )
            await self._bot.post(content, batch.posted)
            batch.shown.told = [*batch.shown.told, *(one.event_id for one in group)][-_TOLD:]
            await self._keep(name, batch)

    async def _batch(self, name: str) -> _Batch:
        if name not in self._batches:
            self._batches.setdefault(name, _Batch(_read(await self._notes.read(name))))
        self._batches.move_to_end(name)
        if len(self._batches) > _IN_MEMORY:
            oldest = next(iter(self._batches))
            if not self._batches[oldest].lock.locked():
                del self._batches[oldest]
        return self._batches[name]

    async def _keep(self, name: str, batch: _Batch) -> None:
        await self._notes.write(name, msgspec.json.encode(batch.shown))


def _read(note: bytes | None) -> _Shown:
    try:
        return _Shown() if note is None else _decode(note)
    except msgspec.MsgspecError:
        return _Shown()  # written by another version: the batch gets a new message
