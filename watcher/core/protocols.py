"""The whole design on one page: what a source, a store and a channel must promise. Documented here and only here.

    Endpoint.fetch -> diff -> routing -> Store.record -> [outbox] -> dispatcher -> Channel.send -> Store.settle

Data goes forward only. The poller owns the half before the store, the dispatcher the half behind it; the store is the
one place where they meet. Each implementation is one file in `sources/`, `stores/` or `channels/`, exporting
`Settings` (sources and channels) and `create(...)`; `docs/extending.md` walks through one of each.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from msgspec import Raw

from watcher.core.models import (
    ActiveWatch,
    Added,
    Answer,
    Attempt,
    Change,
    Delivery,
    DeliveryState,
    DueDelivery,
    Event,
    EventFilter,
    Found,
    FoundPage,
    Hold,
    Message,
    OutboxDepth,
    Receipt,
    Settlement,
    StoredEvent,
    StoreSize,
    TaskKey,
    Trouble,
    UploadBucket,
    Watch,
    WatchFilter,
    WatchRequest,
)


class Endpoint(Protocol):
    """One way of asking upstream about tasks, with a request budget of its own."""

    @property
    def places(self) -> int:
        """How many tasks one `fetch` may name; 0 while this way does not work."""
        ...

    def wait(self) -> float:
        """Return the seconds until the request budget lets a request through; 0 means now."""
        ...

    async def admit(self) -> None:
        """Wait until a request may be sent, and reserve it; the next `fetch` uses the reservation up.

        Waits as long as the budget, what is under way, or upstream's `Retry-After` demand. Cancelled while waiting, it
        has reserved nothing.
        """
        ...

    def fetch(self, task_ids: Sequence[str]) -> AsyncGenerator[Sequence[Answer], None]:
        """Ask upstream for these tasks and yield what it says about them, in as many parts as it comes.

        A task that upstream says it does not know is a `Missing`; one that should be asked for at the source's `single`
        endpoint, because this one cannot tell, is `Unlisted`. A task without an answer is asked again. Raises
        `SourceError` when nothing (more) was learnt. Each request ends by its own deadline; several may run at once.
        """
        ...


class Calls(Protocol):
    """What else an upstream can be asked for: its lists, and to start and end work.

    Items and answers are JSON as they came. A list's cursor is what the page before returned, None for the first and
    after the last. Every method waits a while for the request budget and raises `SourceError`.
    """

    async def list_tasks(
        self, wanted: Mapping[str, object], limit: int, cursor: str | None
    ) -> tuple[Sequence[Raw], str | None]:
        """Return a page of the tasks that `wanted` (the list call's body) selects. Raises `ValueError` for a cursor."""
        ...

    async def list_batches(
        self, bucket: str | None, wanted: Mapping[str, object], limit: int, cursor: str | None, namespace: str | None
    ) -> tuple[Sequence[Raw], str | None]:
        """Return a page of a bucket's batches (None: every bucket's). Raises `ValueError` for a cursor."""
        ...

    def find_tasks(self, wanted: Mapping[str, object]) -> AsyncGenerator[FoundPage, None]:
        """Yield page after page of the tasks that `wanted` selects, newest first where upstream offers that order.

        Waits for the request budget as long as it takes.
        """
        ...

    def find_batches(self, bucket: str | None, wanted: Mapping[str, object]) -> AsyncGenerator[FoundPage, None]:
        """Yield page after page of the tasks of a bucket's batches and of their tiers (None: every bucket's)."""
        ...

    async def cancel_batch(
        self, bucket: str, batch: str, reason: str | None, namespace: str | None
    ) -> tuple[Raw, str | None]:
        """Cancel a batch, and return the answer and the ID of the batch's task."""
        ...

    async def kill_task(self, task_id: str) -> Raw:
        """Kill a task, and return the answer."""
        ...

    async def confirm_uploads(
        self, bucket: str, confirmations: Sequence[Mapping[str, object]], namespace: str | None
    ) -> str:
        """Confirm 1 to 100 uploads in one request, and return the ID of the task that this started."""
        ...


class Source(Protocol):
    """An upstream API that knows tasks. It keeps the request budgets; when to ask for which task is the poller's."""

    @property
    def single(self) -> Endpoint:
        """One task a request; its word is final."""
        ...

    @property
    def shared(self) -> Endpoint | None:
        """Many tasks a request, where upstream offers that."""
        ...

    @property
    def calls(self) -> Calls:
        """Upstream's own calls."""
        ...


class Channel(Protocol):
    """A place events go. It makes one attempt; when to try again is the dispatcher's."""

    async def send(self, message: Message) -> Receipt:
        """Send `message` once and return that the receiver took it.

        Whatever else happened is a `DeliveryError` that says whether waiting may help. Follows no redirect, ends by its
        own deadline, keeps what it read of the answer small, and lets no secret into an error's text. May be called
        again with the same message, and for different messages at once.
        """
        ...


@runtime_checkable
class Digesting(Protocol):
    """A channel that can also tell several events in one message, so that a storm is not a queue of a thousand.

    `digest_most` is how many one may tell.
    """

    digest_most: int

    def choose(self, waiting: Sequence[Message]) -> Sequence[int]:
        """Return which of the `waiting` messages go next in one, by their positions in growing order, 0 among them.

        One alone goes by `send`.
        """
        ...

    async def send_digest(self, messages: Sequence[Message]) -> Receipt:
        """Send one message that tells all of `messages`, each by its name or counted; otherwise like `Channel.send`."""
        ...


class Notes(Protocol):
    """What a channel has to remember over restarts, by names of its own."""

    async def read(self, name: str) -> bytes | None:
        """Return what was written last, None where nothing was. Raises `StoreError`."""
        ...

    async def write(self, name: str, value: bytes) -> None:
        """Keep `value` in the place of what there was, for as long as the retention. Raises `StoreError`."""
        ...


class Notice(Protocol):
    """Builds the events that are about no task."""

    def __call__(self, kind: str, *, at: float, data: Mapping[str, object], subject: str) -> Event:
        """Return the event of type `kind` about `subject` (`channel backend`), routed to all that take it.

        A channel does not hear of itself.
        """
        ...


class Store(Protocol):
    """The watchlist and the outbox. What a call has returned from survives `kill -9`; one that raised changed nothing.

    Every method may raise `StoreError`; the caller keeps what it wanted to store and tries again. Lists come in pages:
    `cursor` is the `next_cursor` of the page before, which is None on the last.
    """

    # The watchlist

    async def add(self, requests: Sequence[WatchRequest], now: float) -> Added:
        """Put tasks on the watchlist, all or none; a task that is there has its labels merged, the newer ones winning.

        A namespace is filled in where there was none. A watch that is done stays so; a lost one becomes stirred.
        """
        ...

    async def remove(self, key: TaskKey) -> bool:
        """Take a task off the watchlist; deliveries already stored still go. Returns whether it was there."""
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
        """Return a page of watches, newest first. Raises `ValueError` for a cursor that is none of ours."""
        ...

    async def rule_ran(self, rule: str) -> bool:
        """Return whether a discovery rule has run to its end before."""
        ...

    async def discover(
        self, rule: str, source: str, found: Sequence[Found], labels: Mapping[str, str], now: float, *, silent: bool
    ) -> tuple[int, Added]:
        """Note what a rule's list showed, put those that it had not shown before on the watchlist, and count them.

        With `silent`, those of them that are finished are stored as done, and nobody is told.
        """
        ...

    async def rule_finished(self, rule: str, now: float, forget_before: float | None) -> None:
        """Note that a rule has run to its end; forget what it has not shown since `forget_before`, if that is given."""
        ...

    async def claim_uploads(
        self, bucket: UploadBucket, upload_ids: Sequence[str], now: float
    ) -> Mapping[str, str | None]:
        """Note that these uploads are about to be confirmed, and return those that were noted before.

        The value is the task that confirmed them, or None where it is not known whether they were.
        """
        ...

    async def release_uploads(self, bucket: UploadBucket, upload_ids: Sequence[str]) -> None:
        """Note that these uploads were not confirmed after all."""
        ...

    async def confirm_uploads(
        self, bucket: UploadBucket, upload_ids: Sequence[str], started: WatchRequest, now: float
    ) -> Added:
        """Note that these uploads are confirmed, and put the task that this started on the watchlist with them."""
        ...

    def active_watches(self) -> AsyncIterator[Sequence[ActiveWatch]]:
        """Yield every active watch in batches, for the schedule at start."""
        ...

    def unchanged_watches(self, source: str, before: float) -> AsyncIterator[Sequence[Watch]]:
        """Yield, in batches, the running tasks that have not changed since before then, nor been told to be stalled."""
        ...

    async def transitions(self, key: TaskKey) -> Sequence[StoredEvent]:
        """Return the stored events about this task in order."""
        ...

    # Events

    async def record(self, changes: Sequence[Change]) -> Sequence[bool]:
        """Store each change whole: the watch, its event, and a delivery for each of the event's channels.

        Returns for each whether it applied; it does not where the watch is gone or no longer at the expected sequence.
        Two changes of one watch may come in one call, in order.
        """
        ...

    async def announce(self, event: Event | None, trouble: Trouble | None, recovered: str | None = None) -> None:
        """Store an event that is about no task, together with the trouble that it tells of.

        `trouble` is inserted or replaced; the trouble whose subject is `recovered` is deleted.
        """
        ...

    async def trouble(self, subject: str) -> Trouble | None:
        """Return the trouble stored for `subject`, None where there is none."""
        ...

    async def events_after(self, event_id: int, limit: int) -> Sequence[StoredEvent]:
        """Return the events whose growing number is greater than `event_id`, in its order."""
        ...

    async def last_event_id(self) -> int:
        """Return the greatest growing number given so far, 0 if none."""
        ...

    # The outbox. Only the head of each (channel, order key) is ever due: the oldest delivery there that is pending and
    # whose later ones have not been let past it.

    async def due(self, channel: str, now: float, limit: int) -> Sequence[DueDelivery]:
        """Return heads whose `next_attempt_at` has come, soonest first, then oldest first."""
        ...

    async def next_due_at(self, channel: str, after: float) -> float | None:
        """Return when, after `after`, the next head is due or the `passes_at` of one is reached; None: never."""
        ...

    async def stalest(self, channel: str, limit: int) -> Sequence[DueDelivery]:
        """Return the heads whose last attempt is longest ago (never attempted ones first), for an early attempt."""
        ...

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """Store how attempts ended; each counts as one attempt. What ended lets the next of its line become head.

        A delivery that ended or was removed in the meantime stays so.
        """
        ...

    async def let_pass(self, channel: str, now: float) -> int:
        """Let later deliveries past every pending head whose `passes_at` has come; returns how many heads."""
        ...

    async def hasten(self, channel: str, attempted_before: float, now: float) -> int:
        """Make everything pending whose last attempt began before `attempted_before` due at once, oldest first.

        `not_before` is kept. Returns how many.
        """
        ...

    async def list_deliveries(
        self, state: DeliveryState | None, channel: str | None, limit: int, cursor: str | None
    ) -> tuple[Sequence[Delivery], str | None]:
        """Return a page of deliveries, newest first. Raises `ValueError` for a cursor that is none of ours."""
        ...

    async def delivery(self, delivery_id: int) -> tuple[Delivery, Sequence[Attempt]] | None:
        """Return a delivery with its last attempts, the oldest first; None where there is none."""
        ...

    async def retry(self, delivery_id: int, now: float) -> Delivery | None:
        """Make a delivery pending and due now with a fresh schedule, whatever its state; None where there is none."""
        ...

    async def purge(self, channel: str, state: DeliveryState, before: float) -> int:
        """Remove a channel's deliveries in `state` whose events were seen before then; returns how many.

        What was removed is never sent; what is on its way then still arrives.
        """
        ...

    async def bound(self, channel: str, most: int, why: str) -> int:
        """Where more than `most` of a channel's deliveries wait, end the oldest as failed, with the error `why`.

        Returns how many.
        """
        ...

    async def replay(self, channel: str, chosen: EventFilter, now: float) -> int:
        """Queue the chosen events that were routed to `channel` once more, in order.

        Those still pending are left as they are. Returns how many were queued.
        """
        ...

    async def holds(self) -> Sequence[Hold]:
        """Return the channels to which nothing is sent for now."""
        ...

    async def hold(self, hold: Hold, event: Event | None, trouble: Trouble | None) -> None:
        """Store that a channel is held, instead of an earlier hold, with the event and the trouble that tell of it."""
        ...

    async def release(self, channel: str) -> None:
        """Store that a channel is not held any more."""
        ...

    async def note(self, channel: str, name: str) -> bytes | None:
        """Return what a channel has noted by this name; None where there is nothing."""
        ...

    async def keep_note(self, channel: str, name: str, value: bytes, now: float) -> None:
        """Keep a channel's note in the place of what it had by this name."""
        ...

    async def outbox(self) -> Sequence[OutboxDepth]:
        """Return what waits, for every channel that has any delivery pending or failed, configured or not."""
        ...

    # Upkeep

    async def retire(self, before: float, *, failed_too: bool = False) -> int:
        """Remove, in bounded steps, what ended before then: done watches, delivered deliveries, events of neither, and
        notes.

        Pending deliveries and their events stay, and without `failed_too` failed ones; a watch stays while a delivery
        of it is pending, and its events stay with it. Returns how many rows went.
        """
        ...

    async def size(self) -> StoreSize:
        """Return how much is stored, and how much may be; beyond that, every write is a `StoreError`."""
        ...

    async def retire_lost(self, before: float) -> Sequence[TaskKey]:
        """Remove some of the watches told lost before then, and return which, for they are still being polled."""
        ...

    async def ping(self) -> None:
        """Write something tiny, durably. Raises `StoreError` where the store cannot be written."""
        ...
