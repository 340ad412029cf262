"""What a store must promise, by consumer. A call that has returned survives `kill -9`; one that
raised changed nothing.

Every method may raise `StoreError`; the caller keeps what it wanted to store and tries again. Lists
come in pages: `cursor` is the `next_cursor` of the page before, which is None on the last.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from watcher.core.channels import Suspension
from watcher.core.deliveries import (
    Attempt,
    AttemptResult,
    Delivery,
    DeliveryState,
    DueDelivery,
    OutboxDepth,
)
from watcher.core.events import Change, Event, EventFilter, StoredEvent
from watcher.core.outage import Outage
from watcher.core.tasks import (
    ActiveWatch,
    Added,
    DiscoveredTask,
    OperationScope,
    TaskKey,
    Watch,
    WatchFilter,
    WatchRequest,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSize:
    """Bytes that the store holds, and that it may hold."""

    used: int
    limit: int

    @property
    def used_share(self) -> float:
        """How much of what it may hold it holds, from 0 to 1."""
        return self.used / self.limit


class Watchlist(Protocol):
    """The tasks to poll."""

    async def add(self, requests: Sequence[WatchRequest], now: float) -> Added:
        """Put tasks on the watchlist, all or none; a task that is there has its labels merged, the
        newer ones winning.

        A namespace is filled in where there was none. A watch that is done stays so; a lost one
        becomes stirred.
        """
        ...

    async def remove(self, key: TaskKey) -> bool:
        """Take a task off the watchlist; deliveries already stored still go. Returns whether it was
        there.
        """
        ...

    async def watches(self, keys: Sequence[TaskKey]) -> Mapping[TaskKey, Watch]:
        """Return those of `keys` that are on the watchlist."""
        ...

    async def find(self, task_id: str) -> Sequence[Watch]:
        """Return the watches of this task ID, of every source."""
        ...

    async def list_watches(
        self, chosen: WatchFilter, limit: int, cursor: str | None
    ) -> tuple[Sequence[Watch], str | None]:
        """Return a page of watches, newest first. Raises `ValueError` for a cursor that is none of
        ours.
        """
        ...

    def active_watches(self) -> AsyncIterator[Sequence[ActiveWatch]]:
        """Yield every active watch in batches, for the schedule at start."""
        ...

    def unchanged_watches(self, source: str, before: float) -> AsyncIterator[Sequence[Watch]]:
        """Yield, in batches, the running tasks that have not changed since before then, nor been
        told to be stalled.
        """
        ...

    async def transitions(self, key: TaskKey) -> Sequence[StoredEvent]:
        """Return the stored events about this task in order."""
        ...

    async def prune_lost(self, before: float) -> Sequence[TaskKey]:
        """Remove some of the watches told lost before then, and return which, for they are still
        being polled.
        """
        ...


class EventLog(Protocol):
    """Every event, in the order it was stored."""

    async def record(self, changes: Sequence[Change]) -> Sequence[bool]:
        """Store each change whole: the watch, its event, and a delivery for each of the event's
        channels.

        Returns for each whether it applied; it does not where the watch is gone or no longer at the
        expected sequence. Two changes of one watch may come in one call, in order.
        """
        ...

    async def record_outage(
        self, event: Event | None, trouble: Outage | None, recovered: str | None = None
    ) -> None:
        """Store an event that is about no task, together with the trouble that it tells of.

        `trouble` is inserted or replaced; the trouble whose subject is `recovered` is deleted.
        """
        ...

    async def outage(self, subject: str) -> Outage | None:
        """Return the trouble stored for `subject`, None where there is none."""
        ...

    async def events_after(self, event_id: int, limit: int) -> Sequence[StoredEvent]:
        """Return the events whose growing number is greater than `event_id`, in its order."""
        ...

    async def last_event_id(self) -> int:
        """Return the greatest growing number given so far, 0 if none."""
        ...


class Outbox(Protocol):
    """All deliveries.

    Only the head of each (channel, order key) is ever due: the oldest delivery there that is
    pending and that later ones have not passed.
    """

    async def due(self, channel: str, now: float, limit: int) -> Sequence[DueDelivery]:
        """Return heads whose `next_attempt_at` has come, soonest first, then oldest first."""
        ...

    async def next_due_at(self, channel: str, after: float) -> float | None:
        """Return when, after `after`, the next head is due or the `passes_at` of one is reached;
        None: never.
        """
        ...

    async def due_for_probe(self, channel: str, limit: int) -> Sequence[DueDelivery]:
        """Return the heads whose last attempt is longest ago (never attempted ones first), for an
        early attempt.
        """
        ...

    async def settle(self, settlements: Sequence[AttemptResult]) -> None:
        """Store how attempts ended; each counts as one attempt. What ended lets the next of its
        line become head.

        A delivery that ended or was removed in the meantime stays so.
        """
        ...

    async def unblock_expired(self, channel: str, now: float) -> int:
        """Let later deliveries past every pending head whose `passes_at` has come; returns how many
        heads.
        """
        ...

    async def make_due(self, channel: str, attempted_before: float, now: float) -> int:
        """Make everything pending whose last attempt began before `attempted_before` due at once,
        oldest first.

        `not_before` is kept. Returns how many.
        """
        ...

    async def list_deliveries(
        self, state: DeliveryState | None, channel: str | None, limit: int, cursor: str | None
    ) -> tuple[Sequence[Delivery], str | None]:
        """Return a page of deliveries, newest first. Raises `ValueError` for a cursor that is none
        of ours.
        """
        ...

    async def delivery(self, delivery_id: int) -> tuple[Delivery, Sequence[Attempt]] | None:
        """Return a delivery with its last attempts, the oldest first; None where there is none."""
        ...

    async def retry(self, delivery_id: int, now: float) -> Delivery | None:
        """Make a delivery pending and due now with a fresh schedule, whatever its state; None where
        there is none.
        """
        ...

    async def purge(self, channel: str, state: DeliveryState, before: float) -> int:
        """Remove a channel's deliveries in `state` whose events were seen before then; returns how
        many.

        What was removed is never sent; what is on its way then still arrives.
        """
        ...

    async def trim_pending(self, channel: str, most: int, why: str) -> int:
        """Where more than `most` of a channel's deliveries wait, end the oldest as failed, with the
        error `why`.

        Returns how many.
        """
        ...

    async def replay(self, channel: str, chosen: EventFilter, now: float) -> int:
        """Queue the chosen events that were routed to `channel` once more, in order.

        Those still pending are left as they are. Returns how many were queued.
        """
        ...

    async def outbox(self) -> Sequence[OutboxDepth]:
        """Return what waits, for every channel that has any delivery pending or failed, configured
        or not.
        """
        ...


class ChannelStates(Protocol):
    """What is stored about channels: suspensions and notes."""

    async def suspensions(self) -> Sequence[Suspension]:
        """Return the channels to which nothing is sent for now."""
        ...

    async def suspend(self, hold: Suspension, event: Event | None, trouble: Outage | None) -> None:
        """Store that a channel is held, instead of an earlier hold, with the event and the trouble
        that tell of it.
        """
        ...

    async def lift_suspension(self, channel: str) -> None:
        """Store that a channel is not held any more."""
        ...

    async def read_note(self, channel: str, name: str) -> bytes | None:
        """Return what a channel has noted by this name; None where there is nothing."""
        ...

    async def write_note(self, channel: str, name: str, value: bytes, now: float) -> None:
        """Keep a channel's note in the place of what it had by this name."""
        ...


class DiscoveryLog(Protocol):
    """What discovery rules have found."""

    async def rule_ran(self, rule: str) -> bool:
        """Return whether a discovery rule has run to its end before."""
        ...

    async def discover(
        self,
        rule: str,
        source: str,
        found: Sequence[DiscoveredTask],
        labels: Mapping[str, str],
        now: float,
        *,
        silent: bool,
    ) -> tuple[int, Added]:
        """Note what a rule's list showed, put those that it had not shown before on the watchlist,
        and count them.

        With `silent`, those of them that are finished are stored as done, and nobody is told.
        """
        ...

    async def rule_finished(self, rule: str, now: float, forget_before: float | None) -> None:
        """Note that a rule has run to its end; forget what it has not shown since `forget_before`,
        if that is given.
        """
        ...


class OperationLog(Protocol):
    """Which uploads were confirmed."""

    async def claim_operations(
        self, bucket: OperationScope, upload_ids: Sequence[str], now: float
    ) -> Mapping[str, str | None]:
        """Note that these uploads are about to be confirmed, and return those that were noted
        before.

        The value is the task that confirmed them, or None where it is not known whether they were.
        """
        ...

    async def release_operations(self, bucket: OperationScope, upload_ids: Sequence[str]) -> None:
        """Note that these uploads were not confirmed after all."""
        ...

    async def complete_operations(
        self, bucket: OperationScope, upload_ids: Sequence[str], started: WatchRequest, now: float
    ) -> Added:
        """Note that these uploads are confirmed, and put the task that this started on the
        watchlist with them.
        """
        ...


class Maintenance(Protocol):
    """Retention, size and readiness."""

    async def prune(self, before: float, *, failed_too: bool = False) -> int:
        """Remove, in bounded steps, what ended before then: done watches, delivered deliveries,
        events of neither, and notes.

        Pending deliveries and their events stay, and without `failed_too` failed ones; a watch
        stays while a delivery of it is pending, and its events stay with it. Returns how many rows
        went.
        """
        ...

    async def size(self) -> StoreSize:
        """Return how much is stored, and how much may be; beyond that, every write is a
        `StoreError`.
        """
        ...

    async def ping(self) -> None:
        """Write something tiny, durably. Raises `StoreError` where the store cannot be written."""
        ...


class Store(
    Watchlist, EventLog, Outbox, ChannelStates, DiscoveryLog, OperationLog, Maintenance, Protocol
):
    """The watchlist and the outbox: what an implementation provides. A consumer names the part that
    it uses.
    """
