"""What a source must promise."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Protocol

from msgspec import Raw

from watcher.core.tasks import Answer, DiscoveredPage


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
        self,
        bucket: str | None,
        wanted: Mapping[str, object],
        limit: int,
        cursor: str | None,
        namespace: str | None,
    ) -> tuple[Sequence[Raw], str | None]:
        """Return a page of a bucket's batches (None: every bucket's). Raises `ValueError` for a cursor."""
        ...

    def find_tasks(self, wanted: Mapping[str, object]) -> AsyncGenerator[DiscoveredPage, None]:
        """Yield page after page of the tasks that `wanted` selects, newest first where upstream offers that order.

        Waits for the request budget as long as it takes.
        """
        ...

    def find_batches(
        self, bucket: str | None, wanted: Mapping[str, object]
    ) -> AsyncGenerator[DiscoveredPage, None]:
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
