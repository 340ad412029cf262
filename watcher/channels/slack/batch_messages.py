"""One message per batch, updated as its tasks progress, with the failures in its thread.

The state of each message is stored in the channel's notes, so that a restart continues with the
same message. A process that dies between Slack's response and the note may post twice. The notes
also list the events posted to the thread, so that a repeated delivery does not post them again.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import anyio
import msgspec

from watcher.channels._text import event_data, status_of
from watcher.channels.slack.client import Bot, Posted
from watcher.channels.slack.errors import MessageGoneError
from watcher.channels.slack.render_batch import BatchState
from watcher.channels.slack.renderer import Renderer
from watcher.core.deliveries import Message, Receipt
from watcher.core.interfaces.channel import Notes
from watcher.core.routing import matches
from watcher.core.tasks import TERMINAL_STATUSES

UPDATE_INTERVAL = 5.0
"""Seconds between two updates of a message."""

_SINGLE_POSTS = 5
"""With more new failures than this, the thread receives one digest."""
TASKS_KEPT = 1000
"""Tasks of a batch whose status is kept. Of more, those that ended first are counted only."""
_BATCHES_IN_MEMORY = 200
_THREAD_EVENTS_KEPT = 2000
_THREAD_EVENTS = ("task.failed", "task.completed_with_errors", "task.lost", "task.stalled")


class _State(msgspec.Struct, rename={"thread_events": "told"}):
    """What the notes store of a batch: its message in Slack, and what that message shows.

    `statuses` maps a task ID to its sequence and status: an event that is sent again may be older
    than the status shown. `ended` counts further tasks by their last status; `incomplete` is set if
    tasks that had not ended were left out. `thread_events` are the IDs of the events in the thread.
    """

    channel: str = ""
    ts: str = ""
    statuses: dict[str, tuple[int, str]] = {}
    ended: dict[str, int] = {}
    incomplete: bool = False
    thread_events: list[str] = []

    def note(self, messages: Sequence[Message]) -> None:
        """Note the statuses of tasks, of which only the last `TASKS_KEPT` are kept."""
        for task_id, status, sequence in map(status_of, messages):
            if sequence >= self.statuses.get(task_id, (0, ""))[0]:
                self.statuses[task_id] = (sequence, status)
        self._count(len(self.statuses) - TASKS_KEPT)

    def _count(self, excess: int) -> None:
        """Forget the IDs of the tasks that ended first, then of those that were noted first."""
        if excess <= 0:
            return
        done = (task for task, (_, status) in self.statuses.items() if status in TERMINAL_STATUSES)
        for task_id in list(islice(done, excess)):
            _, status = self.statuses.pop(task_id)
            self.ended[status] = self.ended.get(status, 0) + 1
        for task_id in list(self.statuses)[: max(len(self.statuses) - TASKS_KEPT, 0)]:
            del self.statuses[task_id]
            self.incomplete = True

    def shown(self) -> BatchState:
        return BatchState(
            statuses={task_id: status for task_id, (_, status) in self.statuses.items()},
            ended=self.ended,
            incomplete=self.incomplete,
        )


_decode = msgspec.json.Decoder(_State).decode


class _Batch:
    """A batch in memory; `version` counts changes, `shown_version` is the one in Slack. `data` is
    that of its last event.
    """

    def __init__(self, state: _State) -> None:
        self.state = state
        self.data: Mapping[str, Any] = {}
        self.lock = anyio.Lock()
        self.updated_at = -UPDATE_INTERVAL
        self.version = self.shown_version = 0
        self.receipt = Receipt(status=200)

    @property
    def posted(self) -> Posted | None:
        return Posted(channel=self.state.channel, ts=self.state.ts) if self.state.ts else None


class BatchMessages:
    """The batch messages of one Slack channel."""

    def __init__(self, bot: Bot, notes: Notes, renderer: Renderer) -> None:
        self._bot = bot
        self._notes = notes
        self._renderer = renderer
        self._batches: OrderedDict[str, _Batch] = OrderedDict()

    async def post(self, name: str, messages: Sequence[Message]) -> Receipt:
        """Add `messages` to the batch's message; return once Slack shows them.

        Raises `DeliveryError` and `StoreError`.
        """
        batch = await self._batch(name)
        batch.state.note(messages)
        batch.data = event_data(messages[-1])
        batch.version += 1
        version = batch.version
        async with batch.lock:
            if batch.posted is None:
                await self._show(name, batch)
            try:
                await self._post_to_thread(name, batch, messages)
            except MessageGoneError:
                batch.state.ts = ""
                await self._show(name, batch)
                await self._post_to_thread(name, batch, messages)
        while batch.shown_version < version:
            await anyio.sleep_until(batch.updated_at + UPDATE_INTERVAL)
            async with batch.lock:
                if (
                    batch.shown_version < version
                    and anyio.current_time() >= batch.updated_at + UPDATE_INTERVAL
                ):
                    await self._show(name, batch)
        return batch.receipt

    async def _show(self, name: str, batch: _Batch) -> None:
        """Post or update the batch's message."""
        version = batch.version
        content = self._renderer.batch(name, batch.state.shown(), batch.data)
        batch.updated_at = anyio.current_time()
        if batch.posted is not None:
            try:
                batch.receipt = await self._bot.update(batch.posted, content)
            except MessageGoneError:
                batch.state.ts = ""
        if batch.posted is None:
            batch.receipt, posted = await self._bot.post(content)
            batch.state.channel, batch.state.ts = posted.channel, posted.ts
        batch.shown_version = version
        await self._save(name, batch)

    async def _post_to_thread(self, name: str, batch: _Batch, messages: Sequence[Message]) -> None:
        posted = frozenset(batch.state.thread_events)
        failures = [
            message
            for message in messages
            if matches(_THREAD_EVENTS, message.type) and message.event_id not in posted
        ]
        is_digest = len(failures) > _SINGLE_POSTS
        groups = [failures] if is_digest else [[message] for message in failures]
        for group in groups:
            with self._renderer.rendered(group) as content:
                await self._bot.post(content, batch.posted)
            event_ids = [*batch.state.thread_events, *(message.event_id for message in group)]
            batch.state.thread_events = event_ids[-_THREAD_EVENTS_KEPT:]
            await self._save(name, batch)

    async def _batch(self, name: str) -> _Batch:
        if name not in self._batches:
            self._batches.setdefault(name, _Batch(_load(await self._notes.read(name))))
        self._batches.move_to_end(name)
        if len(self._batches) > _BATCHES_IN_MEMORY:
            oldest = next(iter(self._batches))
            if not self._batches[oldest].lock.locked():
                del self._batches[oldest]
        return self._batches[name]

    async def _save(self, name: str, batch: _Batch) -> None:
        await self._notes.write(name, msgspec.json.encode(batch.state))


def _load(note: bytes | None) -> _State:
    try:
        return _State() if note is None else _decode(note)
    except msgspec.MsgspecError:
        return _State()  # written by another version: the batch gets a new message
