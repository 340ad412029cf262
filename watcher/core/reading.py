"""What people look at, as records: pages of tasks, batches, and the history of a task.

Times are Unix seconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from watcher.core.deliveries import Attempt, Delivery, DeliveryState
from watcher.core.summary import FailureGroup
from watcher.core.tasks import Watch


class TaskOrder(StrEnum):
    """The order of a page of tasks."""

    ADDED = "added"
    """The newest watch first."""
    ENDED = "ended"
    """The last ended first; only of tasks that have ended with one of some statuses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSelection:
    """Which watches to show. An empty field matches all.

    A watch has to have one of the `statuses` and all of the `labels`. `search` is a text that the
    task ID, the batch or the error contains, whatever the case of ASCII letters. `task_type` is a
    pattern in which `*` is any text and `?` any character, whatever the case of ASCII letters.
    `running` tasks are still polled, `done` ones are not. `changed_since` excludes what has not
    changed since then. `error` is that of tasks that failed alike: theirs begin with the same
    `summary.ALIKE` characters; an empty one is of tasks without an error.
    """

    statuses: tuple[str, ...] = ()
    running: bool = False
    done: bool = False
    lost: bool = False
    stalled: bool = False
    search: str | None = None
    error: str | None = None
    task_type: str | None = None
    batch: str | None = None
    source: str | None = None
    namespace: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    changed_since: float | None = None
    order: TaskOrder | None = None
    """The wanted order; None for the one that suits the statuses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPage:
    """A page of tasks, in `order`. `top` and `next_cursor` are the places of its first row and of
    where it continues; None without any row, and on the last page.

    `complete` is false where the time for one page was over before the end of the list, or before
    there were as many rows as wanted: it continues at `next_cursor`.
    """

    watches: Sequence[Watch]
    order: TaskOrder
    top: str | None
    next_cursor: str | None
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactMatch:
    """What a text names: watches of this task ID, whether it is a batch, and a few watches whose
    IDs begin with it.
    """

    watches: Sequence[Watch]
    is_batch: bool
    beginning: Sequence[Watch]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSummary:
    """The watched tasks of a batch: `counts` by status, None for those that were not seen yet.

    `active` of them are still polled; `changed_at` is when the last of them changed.
    """

    batch: str
    sources: Sequence[str]
    counts: Mapping[str | None, int]
    active: int
    added_at: float
    changed_at: float | None

    @property
    def size(self) -> int:
        """How many tasks it has."""
        return sum(self.counts.values())

    @property
    def failed(self) -> int:
        """How many of them failed, wholly or in part."""
        return self.counts.get("FAILED", 0) + self.counts.get("COMPLETED_WITH_ERRORS", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchTasks:
    """A batch: its summary, the bucket that an event of it names, if any, its failures by error,
    the largest groups first, and a page of its tasks, the failed ones first.
    """

    summary: BatchSummary
    bucket: str | None
    failures: Sequence[FailureGroup]
    watches: Sequence[Watch]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySelection:
    """Which deliveries to show. An empty field matches all. `reason` is a text that the last error
    contains, whatever the case of ASCII letters.
    """

    state: DeliveryState | None = None
    channel: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryPage:
    """A page of deliveries, the newest first. `complete` is false where the time for one page was
    over before there were as many rows as wanted: it continues at `next_cursor`.
    """

    deliveries: Sequence[Delivery]
    next_cursor: str | None
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryGroup:
    """Failed deliveries to one channel with the same beginning of their last error."""

    channel: str
    error: str | None
    count: int
    oldest_at: float
    newest_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryCount:
    """How many deliveries there are, and the times of the oldest and the newest of their events."""

    count: int
    oldest_at: float
    newest_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SentTo:
    """A delivery of an event, with its last attempts, the oldest first."""

    delivery: Delivery
    attempts: Sequence[Attempt]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEvent:
    """An event about a task with its deliveries. `channels` are those that it was routed to when it
    was stored, some of whose deliveries may have been removed since. `reason` is that of an alert.
    """

    id: int
    event_id: str
    type: str
    at: float
    sequence: int | None
    previous_status: str | None
    status: str | None
    reason: str | None
    channels: Sequence[str]
    deliveries: Sequence[SentTo]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelFate:
    """What became of one event for one channel: `sent`, or why it was not sent."""

    channel: str
    sent: SentTo | None
    not_sent: str | None
