"""What a source must promise, and which further capabilities it may have.

A capability is a protocol of one method. A source that has the capability has the method, and any
other source does not: callers test with `isinstance` and never call a method that only raises.

Items and answers of capabilities are JSON as received. A list's cursor is the one returned with the
page before it: None for the first page and after the last. Every capability waits for the request
budget and may raise `SourceError`.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from msgspec import Raw

from watcher.core.tasks import Answer, DiscoveredPage, Observation, Shown

UPLOADS_PER_REQUEST = 100
"""The most uploads that one call of `ConfirmsUploads.confirm_uploads` may hold."""


class Endpoint(Protocol):
    """One way of polling tasks, with its own request budget."""

    @property
    def capacity(self) -> int:
        """The most tasks for one `fetch`; 0 while the endpoint does not work."""
        ...

    def requests_for(self, tasks: int) -> int:
        """Return how many requests of the budget it takes to poll so many tasks; 0 without one.

        Where it takes several, the poller uses the whole budget.
        """
        ...

    def wait(self) -> float:
        """Return the seconds until the request budget allows a request; 0 means now."""
        ...

    async def admit(self) -> None:
        """Wait until a request may be sent, and reserve it; the next `fetch` uses the reservation.

        Waits as long as the budget, the concurrency limit or upstream's `Retry-After` demand.
        Cancelled while waiting, it has reserved nothing.
        """
        ...

    def fetch(self, task_ids: Sequence[str]) -> AsyncGenerator[Sequence[Answer], None]:
        """Poll these tasks and yield their answers in parts, as they arrive.

        A task that upstream does not know is a `TaskNotFound`. Where this endpoint cannot decide
        that, and the source's `single` endpoint should, the answer is `NotInPage`. A task without
        an answer is polled again. Raises `SourceError` when there is no (further) answer. Each
        request has its own deadline; several fetches may run at once.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LastSeen:
    """`count` tasks that were last seen with `status`; `ids` are their IDs, joined by the endpoint.

    `sentinel` is a task with another status. An answer that shows it has read the whole list.
    """

    status: str
    ids: bytes
    count: int
    sentinel: str


class ChangesEndpoint(Protocol):
    """Requests for the changed ones of many tasks. It spends the budget of the shared endpoint.

    `most_groups` is how many `LastSeen` one request may hold. `size` is how many task IDs are known
    to work; a source begins with what `restore` had from it before.
    """

    most_groups: int

    @property
    def capacity(self) -> int:
        """The most task IDs of one request; 0 while changes cannot be requested."""
        ...

    @property
    def size(self) -> int: ...

    def restore(self, size: int) -> None: ...

    @property
    def spacing(self) -> float:
        """Seconds between two requests that the budget allows in the long run; 0 without one."""
        ...

    def join(self, task_ids: Sequence[str]) -> bytes:
        """Return task IDs as `LastSeen.ids` has them."""
        ...

    async def admit(self) -> None:
        """Wait until a request may be sent, and reserve it; see `Endpoint.admit`."""
        ...

    def withdraw(self) -> None:
        """Release a reservation that is not used."""
        ...

    def fetch(self, groups: Sequence[LastSeen]) -> AsyncGenerator[Sequence[Shown], None]:
        """Yield, in parts, the tasks whose status is not the one last seen.

        What it shows is what upstream has now. Where it ends without an error, no other of the
        tasks has changed. Raises `IncompleteAnswerError`, or another `SourceError` where the
        source fails.
        """
        ...

    def distrust(self, reason: str) -> None:
        """Note that the answers contradict the request: changes are not requested for a time."""
        ...


class Source(Protocol):
    """An upstream API that knows tasks.

    It enforces the request budgets; the poller decides when to poll which task.
    """

    @property
    def single(self) -> Endpoint:
        """One task per request; its answer is final."""
        ...

    @property
    def shared(self) -> Endpoint | None:
        """Many tasks per request, where upstream offers that."""
        ...


@runtime_checkable
class ChecksAccess(Protocol):
    """A source that knows a better check of its key than the poll of a task that cannot exist."""

    async def check_access(self) -> str:
        """Send one request; return what it showed. Raises `SourceError` if the source fails."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one path, word or rule of a source found: `value` is JSON, or None where it is absent.

    `meaning` is what follows from it, such as a status.
    """

    name: str
    path: str
    value: str | None
    meaning: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """How a source reads one task: the request and what came back, what was found in it, what the
    headers say about the budget, and what its list shows, if it has one.
    """

    request: str
    findings: Sequence[Finding]
    budget: Sequence[str]
    listed: str | None
    answer: Answer


@runtime_checkable
class ExplainsTasks(Protocol):
    """A source that can explain how it reads a task."""

    async def explain(self, task_id: str) -> Explanation:
        """Request the task, and the list, and return how they are read.

        Raises `ValueError` for an ID that no request can be about, and `SourceError`.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOfTask:
    """Where to look for a task that is gone. `task_type` is what was known of the task."""

    bucket_id: str
    batch_id: str
    namespace: str | None
    task_type: str | None


@runtime_checkable
class ShowsChanges(Protocol):
    """A source that can be requested for changed tasks only."""

    @property
    def changes(self) -> ChangesEndpoint: ...


@runtime_checkable
class FindsTasksInBatches(Protocol):
    """A source whose batches show their tasks for longer than its tasks exist."""

    async def find_in_batch(self, task_id: str, batch: BatchOfTask) -> Observation | None:
        """Return the task as its batch shows it; None if the batch does not show it."""
        ...


@runtime_checkable
class ListsTasks(Protocol):
    """A source whose tasks can be listed."""

    async def list_tasks(
        self, criteria: Mapping[str, object], limit: int, cursor: str | None
    ) -> tuple[Sequence[Raw], str | None]:
        """Return a page of the tasks that match `criteria`, and the next cursor.

        `criteria` is the body of the list request. Raises `ValueError` for an invalid cursor.
        """
        ...


@runtime_checkable
class ListsBatches(Protocol):
    """A source whose batches can be listed."""

    async def list_batches(
        self,
        bucket: str | None,
        criteria: Mapping[str, object],
        limit: int,
        cursor: str | None,
        namespace: str | None,
    ) -> tuple[Sequence[Raw], str | None]:
        """Return a page of a bucket's batches (None: of every bucket), and the next cursor.

        Raises `ValueError` for an invalid cursor.
        """
        ...


@runtime_checkable
class DiscoversTasks(Protocol):
    """A source that supports discovery rules which list tasks."""

    def discover_tasks(
        self, criteria: Mapping[str, object], cursor: str | None = None
    ) -> AsyncGenerator[DiscoveredPage, None]:
        """Yield the pages of tasks that match `criteria`, newest first if upstream can sort.

        Begins at `cursor`, which came with a page before, and ends where pages bring nothing new.
        Waits for the request budget without a time limit; polling comes first.
        """
        ...


@runtime_checkable
class DiscoversBatches(Protocol):
    """A source that supports discovery rules which list batches."""

    def discover_batches(
        self, bucket: str | None, criteria: Mapping[str, object], cursor: str | None = None
    ) -> AsyncGenerator[DiscoveredPage, None]:
        """Yield the pages of tasks of a bucket's batches and their tiers (None: of every bucket).

        Begins at `cursor`, which came with a page before, and ends where pages bring nothing new.
        Waits for the request budget without a time limit.
        """
        ...


@runtime_checkable
class CancelsBatches(Protocol):
    """A source whose batches can be cancelled."""

    async def cancel_batch(
        self, bucket: str, batch: str, reason: str | None, namespace: str | None
    ) -> tuple[Raw, str | None]:
        """Cancel a batch; return upstream's answer and the ID of the batch's task."""
        ...


@runtime_checkable
class KillsTasks(Protocol):
    """A source whose tasks can be killed."""

    async def kill_task(self, task_id: str) -> Raw:
        """Kill a task and return upstream's answer."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """Upstream's answer to a request that confirms uploads, and the task that this started.

    `count` is how many of the uploads upstream confirms; None where the answer does not say.
    """

    task_id: str
    status: str | None
    count: int | None
    message: str | None
    task: Raw


@runtime_checkable
class ConfirmsUploads(Protocol):
    """A source that confirms uploads."""

    async def confirm_uploads(
        self, bucket: str, confirmations: Sequence[Mapping[str, object]], namespace: str | None
    ) -> Confirmation:
        """Confirm 1 to `UPLOADS_PER_REQUEST` uploads, all of them in one request."""
        ...
