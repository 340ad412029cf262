"""What a store must promise, by consumer. A call that has returned survives `kill -9`; one that
raised changed nothing, or its text names a commit that may be lost: the same call again is safe.

Every method may raise `StoreError`; the caller keeps what it wanted to store and tries again. Lists
come in pages: `cursor` is the `next_cursor` of the previous page, which is None on the last one; an
invalid cursor raises `ValueError`.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Protocol

from watcher.core.channels import Suspension
from watcher.core.deliveries import (
    Attempt,
    AttemptResult,
    Delivery,
    DeliveryState,
    DueDelivery,
    OldestPending,
    OutboxDepth,
)
from watcher.core.events import Change, Event, EventFilter, StoredEvent
from watcher.core.interfaces.maintenance import Maintenance
from watcher.core.interfaces.reading import Reading
from watcher.core.interfaces.resending import Resending
from watcher.core.interfaces.summary import Summary
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


class Watchlist(Protocol):
    """The tasks to poll."""

    async def add(self, requests: Sequence[WatchRequest], now: float) -> Added:
        """Put tasks on the watchlist, all or none. If a task is there already, its labels are
        merged; the new ones win.

        A missing namespace is filled in. A watch that is done stays done, unless the request says
        `again`: then it is reopened, and keeps its status and sequence. A lost one is reactivated.
        Raises `TooManyLabelsError` where a watch would have more than `labels.MOST`.
        """
        ...

    async def remove(self, key: TaskKey) -> bool:
        """Take a task off the watchlist; return whether it was there.

        Stored deliveries are still sent.
        """
        ...

    async def watches(self, keys: Sequence[TaskKey]) -> Mapping[TaskKey, Watch]:
        """Return those of `keys` that are on the watchlist."""
        ...

    async def find(self, task_id: str) -> Sequence[Watch]:
        """Return the watches of this task ID, of every source."""
        ...

    async def list_watches(
        self, selected: WatchFilter, limit: int, cursor: str | None
    ) -> tuple[Sequence[Watch], str | None]:
        """Return a page of watches, the newest first.

        With a type, a batch or a search a page may hold fewer than `limit`, or none, and not be the
        last: no page takes longer than about 0.2 s.
        """
        ...

    def active_watches(
        self, slots: Mapping[str, Collection[int] | None]
    ) -> AsyncIterator[Sequence[ActiveWatch]]:
        """Yield the active watches of these sources in batches, to fill the schedule: those of
        these slots of each, None for all.
        """
        ...

    async def active_elsewhere(self, sources: Collection[str]) -> int:
        """Return how many active watches belong to none of these sources."""
        ...

    def unchanged_watches(self, source: str, before: float) -> AsyncIterator[Sequence[Watch]]:
        """Yield, in batches, the running tasks that have not changed since `before` and were not
        reported as stalled.
        """
        ...

    async def transitions(self, key: TaskKey) -> Sequence[StoredEvent]:
        """Return the stored events about this task, in order."""
        ...

    async def prune_lost(self, before: float) -> Sequence[TaskKey]:
        """Remove a batch of the watches that were lost before `before`; return their keys, since
        they are still being polled.

        A watch stays while a delivery of it is pending.
        """
        ...


class EventLog(Protocol):
    """Every event, in the order of storage."""

    async def record(self, changes: Sequence[Change]) -> Sequence[bool]:
        """Store each change in one piece: the watch, its event, and a delivery for each of the
        event's channels.

        Returns for each change whether it applied. It does not apply if the watch is gone or no
        longer at the expected sequence. One call may hold several changes of a watch, in order.
        """
        ...

    async def record_outage(
        self, event: Event | None, outage: Outage | None, recovered: str | None = None
    ) -> bool:
        """Store an event about a source or a channel together with the outage that it announces;
        return whether there was one, and no other process had announced the same before.

        `outage` is inserted or replaced; the outage whose subject is `recovered` is deleted.
        """
        ...

    async def outage(self, subject: str) -> Outage | None:
        """Return the stored outage of `subject`, None if there is none."""
        ...

    async def events_after(self, event_id: int, limit: int) -> Sequence[StoredEvent]:
        """Return the events whose number is greater than `event_id`, in ascending order."""
        ...

    async def last_event_id(self) -> int:
        """Return the greatest event number assigned so far, 0 if there is none."""
        ...


class Outbox(Protocol):
    """All deliveries.

    The pending deliveries of one channel with one order key are a queue. Only its head is ever due:
    the oldest one that is not bypassed. Once its `unblocks_at` is reached, a head can be bypassed:
    the next one becomes the head, and the bypassed one stays due beside it.
    """

    async def due(self, channel: str, now: float, limit: int) -> Sequence[DueDelivery]:
        """Return deliveries whose `next_attempt_at` has come, soonest first, then oldest first."""
        ...

    async def body(self, delivery_id: int) -> bytes | None:
        """Return the body of a delivery's event; None if the delivery is gone."""
        ...

    async def next_due_at(self, channel: str, after: float) -> float | None:
        """Return the first time after `after` at which a delivery becomes due or the `unblocks_at`
        of a head is reached; None if there is no such time.
        """
        ...

    async def due_for_probe(self, channel: str, limit: int) -> Sequence[DueDelivery]:
        """Return the deliveries to attempt before they are due: those whose last attempt is the
        longest ago, never attempted ones first.
        """
        ...

    async def settle(self, results: Sequence[AttemptResult]) -> None:
        """Store how attempts ended. When a head ended, the next of its queue becomes the head.

        A delivery that ended or was removed in the meantime stays so.
        """
        ...

    async def unblock_expired(self, channel: str, now: float) -> int:
        """Bypass every head whose `unblocks_at` has come; return how many."""
        ...

    async def make_due(
        self,
        channel: str,
        attempted_before: float,
        now: float,
        *,
        in_order: bool = False,
        despite_retry_after: bool = False,
    ) -> int:
        """Make every head due now, oldest first, whose last attempt began before
        `attempted_before`; return how many.

        With `in_order`, bypassed deliveries take their places in their queues again first.
        `not_before` still applies, unless `despite_retry_after`. A last attempt after `now` shows
        that the clock was set back: then the delivery is due, whatever was stored.
        """
        ...

    async def retry_after_ends_at(self, channel: str, now: float) -> float | None:
        """Return when the last `Retry-After` of a channel's pending deliveries ends; None without
        one. One that was received after `now` is void: the clock was set back.
        """
        ...

    async def list_deliveries(
        self, state: DeliveryState | None, channel: str | None, limit: int, cursor: str | None
    ) -> tuple[Sequence[Delivery], str | None]:
        """Return a page of deliveries, the newest first."""
        ...

    async def delivery(self, delivery_id: int) -> tuple[Delivery, Sequence[Attempt]] | None:
        """Return a delivery with its last attempts, the oldest first; None if there is none."""
        ...

    async def retry(self, delivery_id: int, now: float) -> Delivery | None:
        """Make a delivery pending and due now, in whatever state it is, with its whole schedule
        ahead. A pending one keeps its place; one that had ended is sent beside the others of its
        queue. Returns None if there is none.
        """
        ...

    async def purge(self, channel: str, state: DeliveryState, before: float) -> int:
        """Remove a channel's deliveries in `state` whose events were observed before `before`;
        return how many.

        They are never sent; an attempt in flight may still arrive.
        """
        ...

    async def oldest_pending(self, channel: str, size: int, before: float) -> OldestPending | None:
        """Return the fewest of the oldest pending deliveries of a channel that take `size` bytes in
        the store, of events that were observed before `before`; None without one.
        """
        ...

    async def fail_oldest(
        self,
        oldest: OldestPending,
        reason: str,
        event: Event | None = None,
        outages: Sequence[Outage] = (),
    ) -> int:
        """End those of `oldest` that are still pending as failed, with `reason` as their error;
        return how many.

        The event and the outages that announce this are stored with the first of them. Works on a
        store that has reached its limit, too.
        """
        ...

    async def replay(self, channel: str, selected: EventFilter, now: float) -> int:
        """Queue the selected events that were routed to `channel` again, in order; return how many.

        Those still pending are left as they are.
        """
        ...

    async def outbox(self) -> Sequence[OutboxDepth]:
        """Return the depth of every channel that has pending or failed deliveries, whether it is
        configured or not.
        """
        ...


class ChannelStates(Protocol):
    """What is stored about channels: suspensions, digests of settings, and notes."""

    async def suspensions(self) -> Sequence[Suspension]:
        """Return the suspensions of all channels."""
        ...

    async def suspend(
        self, suspension: Suspension, event: Event | None, outage: Outage | None
    ) -> bool:
        """Store a suspension, which replaces the channel's earlier one, with the event and the
        outage that announce it; return whether the event was stored, as `record_outage` does.
        """
        ...

    async def lift_suspension(self, channel: str) -> None:
        """Delete the channel's suspension, if any."""
        ...

    async def target(self, channel: str) -> str | None:
        """Return the digest of the settings that the channel had last; None if there is none."""
        ...

    async def store_target(self, channel: str, digest: str) -> None:
        """Store the digest of the channel's settings, which replaces the one before."""
        ...

    async def read_note(self, channel: str, name: str) -> bytes | None:
        """Return the note that a channel has stored under this name; None if there is none."""
        ...

    async def write_note(self, channel: str, name: str, value: bytes, now: float) -> None:
        """Store a channel's note, which replaces the one of this name."""
        ...


class ListSizes(Protocol):
    """How many task IDs a request to a source may hold."""

    async def list_size(self, source: str) -> int | None:
        """Return the size that was stored last; None if there is none."""
        ...

    async def store_list_size(self, source: str, task_ids: int) -> None:
        """Store a size, which replaces the one before."""
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
        listed: Sequence[DiscoveredTask],
        labels: Mapping[str, str],
        now: float,
        *,
        silent: bool,
    ) -> tuple[int, Added]:
        """Store what a rule listed, put the tasks that it had not listed before on the watchlist,
        and return their number. A watch that would have too many labels keeps those that it has.

        With `silent`, those that are finished are stored as done without an event.
        """
        ...

    async def done_among(self, source: str, task_ids: Sequence[str]) -> Sequence[str]:
        """Return those of these tasks whose watches are done."""
        ...

    async def rule_finished(self, rule: str, now: float, forget_before: float | None) -> None:
        """Store that a rule has run to its end; forget the tasks that it has not listed since
        `forget_before`, if that is set.
        """
        ...


class OperationLog(Protocol):
    """Operations that must not be sent to a source twice, by a key within a scope."""

    async def claim_operations(
        self, scope: OperationScope, keys: Sequence[str], now: float
    ) -> Mapping[str, str | None]:
        """Store that these operations are about to be sent; return those that were stored before.

        The value is the task that an operation started, None if its outcome is not known.
        """
        ...

    async def release_operations(self, scope: OperationScope, keys: Sequence[str]) -> None:
        """Delete claims whose operations did not happen. Completed ones stay."""
        ...

    async def complete_operations(
        self, scope: OperationScope, keys: Sequence[str], started: WatchRequest, now: float
    ) -> Added:
        """Store that these operations happened, and put the task that they started on the
        watchlist.
        """
        ...


class Store(
    Watchlist,
    EventLog,
    Outbox,
    Resending,
    ChannelStates,
    ListSizes,
    DiscoveryLog,
    OperationLog,
    Maintenance,
    Summary,
    Reading,
    Protocol,
):
    """What an implementation provides. A consumer declares the parts that it uses."""
