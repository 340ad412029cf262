"""The records that flow through the house: frozen, keyword-only, without behaviour beyond their own fields.

Every time is Unix seconds (see `watcher.clock`). A status is upper-case text: the list upstream may send is open.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

import msgspec

TERMINAL_STATUSES = frozenset({"COMPLETED", "COMPLETED_WITH_ERRORS", "FAILED", "CANCELED", "SKIPPED"})
RUNNING_STATUSES = frozenset({"PENDING", "QUEUED", "IN_PROGRESS", "PROCESSING"})
SLOW_STATUSES = frozenset({"DRAFT", "UNKNOWN", "INTERRUPTED", "ACTIVE", "ARCHIVED", "SUSPENDED", "DEACTIVATED"})
"""Not a run in progress, so asked at the longest interval."""
KNOWN_STATUSES = TERMINAL_STATUSES | RUNNING_STATUSES | SLOW_STATUSES


def event_type(status: str) -> str:
    """Return the type of the event that tells of `status`: `FAILED` is told as `task.failed`."""
    return "task." + re.sub(r"[^a-z0-9_]", "_", status.lower())


class TaskKey(NamedTuple):
    """What a watch is known by: one task ID of one source."""

    source: str
    task_id: str


class UploadBucket(NamedTuple):
    """Where uploads are known by their IDs."""

    source: str
    bucket: str


class WatchState(StrEnum):
    """Whether a watch is still polled."""

    ACTIVE = "active"
    DONE = "done"


class DeliveryState(StrEnum):
    """How far a delivery has come."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRequest:
    """Somebody asks for a task to be watched."""

    key: TaskKey
    namespace: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """One task on the watchlist, as stored.

    `status` and `first_seen_at` are None until upstream has shown the task once. `missing_since` is when upstream
    began to answer that it does not know the task, `lost_at` when that was told; both are None while it is known.
    `stalled_at` is when it was told that the task has not changed for too long; None after each change.
    """

    key: TaskKey
    namespace: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    state: WatchState = WatchState.ACTIVE
    status: str | None = None
    sequence: int = 0
    task_type: str | None = None
    error_message: str | None = None
    added_at: float
    first_seen_at: float | None = None
    changed_at: float | None = None
    missing_since: float | None = None
    lost_at: float | None = None
    stalled_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """What is told of a task, but not diffed. `raw` is the task as a JSON object, byte for byte as it came."""

    error_message: str | None
    raw: msgspec.Raw


class Details(Protocol):
    """Where an answer's details are found: one for all tasks of a page."""

    def of(self, task_id: str) -> Detail:
        """Return the details of this task, which the answer holds."""
        ...


class Observation(msgspec.Struct, gc=False):
    """Upstream's answer about one task that it knows: what is diffed, and where the rest is.

    A page makes a thousand of these, straight from its JSON; nearly all change nothing and are never looked at again.
    Hence the light record, whose details are read only for the few that did.
    """

    task_id: str
    status: str
    task_type: str | None = None
    details: Any = msgspec.field(name="(details)", default=None)  # a `Details`, set by the source whatever was read

    def detail(self) -> Detail:
        """Return what is told, but not diffed."""
        found: Detail = self.details.of(self.task_id)
        return found


class ActiveWatch(NamedTuple):
    """What the schedule needs of a watch that is polled; the fields are those of `Watch`."""

    source: str
    task_id: str
    status: str | None
    missing_since: float | None
    lost_at: float | None


class Found(NamedTuple):
    """A task that a list showed; `status` is in upper case, None where the list says none."""

    task_id: str
    status: str | None
    task_type: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPage:
    """A page of a list. `newest_first` says that its order is proven: each item is no younger than the one before.

    `more` says that another page follows.
    """

    found: Sequence[Found]
    newest_first: bool
    more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Upstream's own answer that it does not know this task (now)."""

    task_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlisted:
    """A shared answer did not show this task: nothing follows but that it has to be asked for alone."""

    task_id: str


Answer = Observation | Missing | Unlisted


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something to tell: its bytes are made once and are the same on every attempt to every channel.

    `key`, `sequence`, `previous_status` and `status` are None for an event about a source or a channel.
    `order_key` names the line in which deliveries of this event wait for one another (a task, a source, a channel).
    `watched_for` is the seconds between the watch's addition and `at`. `channels` are the names routing chose.
    """

    event_id: str
    type: str
    at: float
    body: bytes
    order_key: str
    channels: tuple[str, ...]
    key: TaskKey | None = None
    sequence: int | None = None
    previous_status: str | None = None
    status: str | None = None
    watched_for: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One step of one watch, stored whole or not at all: the watch as it is after it, and what is told about it.

    It applies only where the stored watch is still at `expected_sequence`. `event` is None for a step that nobody is
    told of, such as the first time that upstream does not know a task.
    """

    watch: Watch
    expected_sequence: int
    event: Event | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """An event with the growing number the store gave it."""

    id: int
    event_id: str
    type: str
    at: float
    body: bytes
    sequence: int | None
    previous_status: str | None
    status: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DueDelivery:
    """A delivery that is to be tried: what its channel needs, and what decides what follows.

    `event_at` is when the event was seen; `first_attempt_at` and `last_attempt_at` are None before the first attempt.
    `attempts` counts those made so far, `scheduled` those of them that used up a step of the channel's schedule (an
    early one, made to find out whether the channel answers again, does not). `next_attempt_at` is when it is due,
    `scheduled_at` when it would be by the schedule alone (None before the first attempt). `not_before` is the
    receiver's own `Retry-After`, earlier than which nothing may be sent.
    """

    id: int
    channel: str
    event_id: str
    type: str
    body: bytes
    event_at: float
    created_at: float
    watched_for: float | None
    attempts: int
    scheduled: int
    first_attempt_at: float | None
    last_attempt_at: float | None
    next_attempt_at: float
    scheduled_at: float | None
    not_before: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """How one attempt ended, to be stored. `duration` is in seconds, `answer` what the receiver said.

    `passes_at` is when later events of the same task stop waiting for this one (now or earlier: at once); None keeps
    what is stored. It has a meaning for a delivery that stays pending only.
    """

    delivery_id: int
    state: DeliveryState
    attempted_at: float
    scheduled: int
    next_attempt_at: float | None = None
    not_before: float | None = None
    passes_at: float | None = None
    last_error: str | None = None
    last_status: int | None = None
    duration: float = 0.0
    answer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A receiver took a message: its HTTP status, which is 2xx, and the beginning of what it said."""

    status: int
    answer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt at a delivery: the how manieth, when (Unix seconds), for how long (seconds), and what came of it."""

    number: int
    at: float
    duration: float
    status: int | None
    error: str | None
    answer: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event on its way to one channel, as people see it."""

    id: int
    event_id: str
    type: str
    task_id: str | None
    channel: str
    state: DeliveryState
    attempts: int
    next_attempt_at: float | None
    last_error: str | None
    last_status: int | None
    created_at: float
    delivered_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Something that fails since `since`; `alerted_at` is when that was told, None before.

    `subject` is what fails, under the key its events are ordered by: `channel backend`, `source mixpeek`.
    """

    subject: str
    since: float
    alerted_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Events seen in [since, until] (Unix seconds; None: now), of these statuses and tasks where any are given."""

    since: float
    until: float | None = None
    statuses: tuple[str, ...] = ()
    task_ids: tuple[str, ...] = ()


class HoldKind(StrEnum):
    """Who keeps a channel from sending."""

    PAUSED = "paused"  # a person
    STOPPED = "stopped"  # the receiver: it is gone, and said so
    OFF = "off"  # nobody: for days nothing but failures came from it, and it is tried now and then


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSize:
    """Bytes that the store holds, and that it may hold."""

    used: int
    limit: int

    @property
    def used_share(self) -> float:
        """How much of what it may hold it holds, from 0 to 1."""
        return self.used / self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """`channel` is held from `since` (Unix seconds) until it is released; `reason` is meant for people."""

    channel: str
    kind: HoldKind
    reason: str
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelState:
    """How a channel does: `running`, `failing`, `paused`, `stopped` or `off`, why, and since when (Unix seconds)."""

    name: str
    type: str
    state: str
    reason: str | None = None
    since: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxDepth:
    """What waits for one channel; `oldest_created_at` is None where nothing does."""

    channel: str
    pending: int
    failed: int
    oldest_created_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a channel is handed to send: the event's bytes, and nothing that changes from one attempt to the next."""

    event_id: str
    type: str
    body: bytes
    watched_for: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchFilter:
    """Which watches to list; an empty field selects all. Several statuses are alternatives, several labels all hold."""

    statuses: tuple[str, ...] = ()
    state: WatchState | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What became of requests to watch: each one's watch, in the order of the requests.

    `stirred` are the keys that should be asked at once: new ones, and lost ones that were added again.
    """

    added: int
    existing: int
    watches: tuple[Watch, ...]
    stirred: frozenset[TaskKey]
