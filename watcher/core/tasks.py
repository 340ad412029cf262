"""Tasks and watches as records.

Times are Unix seconds (see `watcher.core.clock`). A status is upper-case text; upstream may send
statuses that are not listed here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

import msgspec

from watcher.core.masking import SECRETS
from watcher.core.texts import ERROR_MESSAGE_LIMIT, NAME_LIMIT

TERMINAL_STATUSES = frozenset(
    {"COMPLETED", "COMPLETED_WITH_ERRORS", "FAILED", "CANCELED", "SKIPPED"}
)
RUNNING_STATUSES = frozenset({"PENDING", "QUEUED", "IN_PROGRESS", "PROCESSING"})
SLOW_STATUSES = frozenset(
    {"DRAFT", "UNKNOWN", "INTERRUPTED", "ACTIVE", "ARCHIVED", "SUSPENDED", "DEACTIVATED"}
)
"""Statuses of tasks that do not run; they are polled at the maximum interval."""
KNOWN_STATUSES = TERMINAL_STATUSES | RUNNING_STATUSES | SLOW_STATUSES


class TaskKey(NamedTuple):
    """The identity of a watch: one task ID of one source."""

    source: str
    task_id: str


class OperationScope(NamedTuple):
    """Within what the key of an operation is unique: for an upload, a bucket of its source."""

    source: str
    name: str


class WatchState(StrEnum):
    """Whether a watch is still polled."""

    ACTIVE = "active"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRequest:
    """A request to watch a task; with `again`, even if its watch is done: it may run again."""

    key: TaskKey
    namespace: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """One task on the watchlist, as stored.

    `status` and `first_seen_at` are None before the first observation. `missing_since` is when
    upstream began to answer that the task does not exist, `lost_at` when `task.lost` was sent; both
    are None while the task exists. `stalled_at` is when `task.stalled` was sent; each change resets
    it to None. An active watch with a terminal status was reopened: its task may run again.
    `batch` is the last one that upstream showed.
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
    batch: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchFilter:
    """Which watches to list. An empty field matches all.

    A watch has to have one of the statuses and all of the labels. `task_type` is a pattern with `*`
    and `?`; `search` a text that the task ID, the batch or the error contains. Both disregard the
    case of ASCII letters. `error` and `changed_since` are those of a `reading.TaskSelection`.
    """

    statuses: tuple[str, ...] = ()
    state: WatchState | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    task_type: str | None = None
    batch: str | None = None
    search: str | None = None
    error: str | None = None
    changed_since: float | None = None

    @property
    def is_scanned(self) -> bool:
        """Whether rows have to be examined one by one."""
        examined = (self.task_type, self.batch, self.search, self.error, self.changed_since)
        has_other = any(one is not None for one in examined)
        return has_other or bool(self.labels and not self.statuses)


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """The result of adding watches; `watches` are in the order of the requests.

    `reactivated` are the tasks to poll at once: new ones, lost ones that were added again, and
    reopened ones.
    """

    added: int
    existing: int
    watches: tuple[Watch, ...]
    reactivated: frozenset[TaskKey]


class ActiveWatch(NamedTuple):
    """The fields of a `Watch` that the schedule needs."""

    source: str
    task_id: str
    status: str | None
    missing_since: float | None
    lost_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """What events add to the compared fields.

    `raw` is the task's JSON object, unchanged but for the values at the `unreadable` paths, which
    could not be represented and are null. `upstream_status` is upstream's own word. `observed_from`
    says where a task was seen that is gone itself.
    """

    error_message: str | None
    raw: msgspec.Raw
    upstream_status: str | None = None
    unreadable: Sequence[str] = ()
    observed_from: str | None = None


class Details(Protocol):
    """The source of details: one for all tasks of a page."""

    def of(self, task_id: str) -> Detail:
        """Return the details of this task, which the answer holds."""
        ...


def _masked(text: str | None, limit: int) -> str | None:
    return None if text is None else SECRETS.cut(text, limit)


class Observation(msgspec.Struct, gc=False):
    """Upstream's answer about a task that exists: the fields to compare, and access to the rest.

    A page decodes directly into a thousand of these, and nearly all of them show no change. So the
    record is light, and the details are decoded only for the tasks that changed.
    """

    task_id: str
    status: str
    task_type: str | None = None
    # A `Details`, which the source sets; the name keeps JSON from setting it.
    details: Any = msgspec.field(name="(details)", default=None)

    def detail(self) -> Detail:
        """Return the details, masked and cut; they are decoded the first time."""
        if not isinstance(self.details, _MaskedDetails):
            self.details = _MaskedDetails(self.details.of(self.task_id))
        return self.details.of(self.task_id)


class _MaskedDetails:
    """The details of one task, without secrets, its texts bounded."""

    def __init__(self, detail: Detail) -> None:
        self._detail = replace(
            detail,
            error_message=_masked(detail.error_message, ERROR_MESSAGE_LIMIT),
            raw=msgspec.Raw(SECRETS.raw_json(bytes(detail.raw))),
            upstream_status=_masked(detail.upstream_status, NAME_LIMIT),
            unreadable=tuple(map(SECRETS.text, detail.unreadable)),
        )

    def of(self, task_id: str) -> Detail:
        return self._detail


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskNotFound:
    """Upstream's answer that this task does not exist (now)."""

    task_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotInPage:
    """A page did not contain this task. It has to be polled individually; nothing else follows."""

    task_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskUnreadable:
    """Upstream's answer about this task, of which the status cannot be read."""

    task_id: str
    reason: str


Shown = Observation | TaskUnreadable
"""What a list shows of a task."""

Answer = Shown | TaskNotFound | NotInPage


class DiscoveredTask(NamedTuple):
    """A listed task; `status` is in upper case, None where the list has none."""

    task_id: str
    status: str | None
    task_type: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveredPage:
    """A page of a list.

    `newest_first` is true where the page proves this order. `next_cursor` is where the next page
    begins, None at the end of the list. `total` is the number of items in the whole list, where
    upstream sends it.
    """

    tasks: Sequence[DiscoveredTask]
    newest_first: bool
    next_cursor: str | None
    total: int | None = None
