"""Tasks and watches as records: frozen, keyword-only, without behaviour beyond their own fields.

Times are Unix seconds (see `watcher.core.clock`). A status is upper-case text: the list that upstream may send is open.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

import msgspec

TERMINAL_STATUSES = frozenset(
    {"COMPLETED", "COMPLETED_WITH_ERRORS", "FAILED", "CANCELED", "SKIPPED"}
)
RUNNING_STATUSES = frozenset({"PENDING", "QUEUED", "IN_PROGRESS", "PROCESSING"})
SLOW_STATUSES = frozenset(
    {"DRAFT", "UNKNOWN", "INTERRUPTED", "ACTIVE", "ARCHIVED", "SUSPENDED", "DEACTIVATED"}
)
"""Not a run in progress, so asked at the longest interval."""
KNOWN_STATUSES = TERMINAL_STATUSES | RUNNING_STATUSES | SLOW_STATUSES


class TaskKey(NamedTuple):
    """What a watch is known by: one task ID of one source."""

    source: str
    task_id: str


class OperationScope(NamedTuple):
    """Where uploads are known by their IDs."""

    source: str
    bucket: str


class WatchState(StrEnum):
    """Whether a watch is still polled."""

    ACTIVE = "active"
    DONE = "done"


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
    reactivated: frozenset[TaskKey]


class ActiveWatch(NamedTuple):
    """What the schedule needs of a watch that is polled; the fields are those of `Watch`."""

    source: str
    task_id: str
    status: str | None
    missing_since: float | None
    lost_at: float | None


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
    details: Any = msgspec.field(
        name="(details)", default=None
    )  # a `Details`, set by the source whatever was read

    def detail(self) -> Detail:
        """Return what is told, but not diffed."""
        found: Detail = self.details.of(self.task_id)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskNotFound:
    """Upstream's own answer that it does not know this task (now)."""

    task_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotInPage:
    """A shared answer did not show this task: nothing follows but that it has to be asked for alone."""

    task_id: str


Answer = Observation | TaskNotFound | NotInPage


class DiscoveredTask(NamedTuple):
    """A task that a list showed; `status` is in upper case, None where the list says none."""

    task_id: str
    status: str | None
    task_type: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveredPage:
    """A page of a list. `newest_first` says that its order is proven: each item is no younger than the one before.

    `more` says that another page follows.
    """

    found: Sequence[DiscoveredTask]
    newest_first: bool
    more: bool
