"""The tasks of one source by the status that they were last seen with, in chunks of as many as one
request for changes may hold. No I/O.

A chunk's IDs are joined for each request: that takes half a millisecond for ten thousand, and to
keep them would take more memory than they take in their tasks. Leaving is lazy: a task is in the
chunk whose number it has.
"""

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from watcher.core.tasks import RUNNING_STATUSES, SLOW_STATUSES

_STATUSES = RUNNING_STATUSES | SLOW_STATUSES
"""Only a status of the API itself can be in a condition."""


class Seen(Protocol):
    """A task; `chunk` is the number of its chunk, 0 for none."""

    task_id: str
    chunk: int

    @property
    def status(self) -> str | None: ...

    @property
    def steady(self) -> bool: ...


SeenType = TypeVar("SeenType", bound=Seen)


class Chunk(Generic[SeenType]):
    """Tasks last seen in one status.

    `swept_at` is when a complete answer about all of them was requested, in monotonic seconds;
    while `covered`, such answers replace polls. `in_flight` is whether one is being requested;
    `left` are the IDs of the tasks that have left the chunk since.
    """

    __slots__ = (
        "count",
        "covered",
        "in_flight",
        "left",
        "number",
        "status",
        "swept_at",
        "tasks",
    )

    def __init__(self, number: int, status: str, swept_at: float, *, covered: bool) -> None:
        self.number = number
        self.status = status
        self.swept_at = swept_at
        self.covered = covered
        self.in_flight = False
        self.left: set[str] = set()
        self.tasks: list[SeenType] = []
        self.count = 0


class LastSeenTasks(Generic[SeenType]):
    """All chunks. `size` is how many tasks a new chunk may hold; 0 if there are to be none. Larger
    ones are divided.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._chunks: dict[int, Chunk[SeenType]] = {}
        self._open: dict[str, Chunk[SeenType]] = {}
        self._last_number = 0
        self._uncovered = 0
        self.size = 0
        self.count = 0

    @property
    def covered(self) -> bool:
        """Whether all tasks in chunks are covered by requests for changes."""
        return bool(self._chunks) and not self._uncovered

    def chunks(self) -> Sequence[Chunk[SeenType]]:
        return list(self._chunks.values())

    def place(self, task: SeenType) -> None:
        """Put a task into a chunk of its status; out of any, if it cannot be in one."""
        if task.chunk and self._chunks[task.chunk].status == task.status and task.steady:
            return
        self.leave(task)
        if self.size and task.steady and task.status in _STATUSES:
            self._join(task, task.status)

    def leave(self, task: SeenType) -> None:
        if not task.chunk:
            return
        chunk = self._chunks[task.chunk]
        task.chunk = 0
        chunk.count -= 1
        self.count -= 1
        if chunk.in_flight:
            chunk.left.add(task.task_id)
        if not chunk.count and not chunk.in_flight:
            self._drop(chunk)

    def requested(self, chunk: Chunk[SeenType]) -> None:
        """Note that a request about a chunk is sent."""
        chunk.in_flight = True
        chunk.left.clear()

    def swept(self, chunk: Chunk[SeenType], at: float) -> bool:
        """Note a complete answer, requested at `at`; return whether the chunk is covered now and
        was not before.
        """
        chunk.in_flight = False
        if not chunk.count:
            self._drop(chunk)
            return False
        chunk.swept_at = at
        if chunk.covered:
            return False
        chunk.covered = True
        self._uncovered -= 1
        return True

    def failed(self, chunk: Chunk[SeenType]) -> None:
        """Note that a request was not answered."""
        chunk.in_flight = False
        if not chunk.count:
            self._drop(chunk)

    def uncover(self) -> Sequence[Chunk[SeenType]]:
        """Note that no request for changes works; return the chunks that were covered."""
        covered = [chunk for chunk in self._chunks.values() if chunk.covered]
        for chunk in covered:
            chunk.covered = False
        self._uncovered += len(covered)
        return covered

    def due(self, before: float) -> Sequence[Chunk[SeenType]]:
        """Return the chunks not swept since `before`, the longest unswept first."""
        chunks = self._chunks.values()
        due = [one for one in chunks if one.swept_at <= before and not one.in_flight and one.count]
        return sorted(due, key=lambda chunk: chunk.swept_at)

    def oldest(self) -> float | None:
        """Return when the longest unswept chunk was swept; None without chunks."""
        chunks = self._chunks.values()
        return min((chunk.swept_at for chunk in chunks if chunk.count), default=None)

    def members(self, chunk: Chunk[SeenType]) -> Sequence[SeenType]:
        """Return the tasks of a chunk."""
        number = chunk.number
        if len(chunk.tasks) != chunk.count:
            chunk.tasks = [*dict.fromkeys(one for one in chunk.tasks if one.chunk == number)]
        return chunk.tasks

    def ids(self, chunk: Chunk[SeenType], join: Callable[[Sequence[str]], bytes]) -> bytes:
        """Return the IDs of a chunk, joined by `join`."""
        return join([task.task_id for task in self.members(chunk)])

    def compact(self) -> None:
        """Drop what has left its chunk, at once."""
        for chunk in self._chunks.values():
            self.members(chunk)

    def fit(self) -> None:
        """Divide chunks that are larger than `size`, and merge those that have become small."""
        for chunk in self.chunks():
            if chunk.in_flight:
                continue
            if chunk.count > self.size:
                self._move(chunk, self.members(chunk)[self.size :])
            elif chunk.count <= self.size // 2 and self._can_merge(chunk):
                self._move(chunk, self.members(chunk))

    def _can_merge(self, chunk: Chunk[SeenType]) -> bool:
        """Return whether the tasks of a chunk may enter the open one of their status. Covered and
        other tasks are never in one chunk, because they are due at different times.
        """
        target = self._open.get(chunk.status)
        if target is None or target is chunk or target.in_flight:
            return False
        return target.covered == chunk.covered and target.count + chunk.count <= self.size

    def top_up(self, chunk: Chunk[SeenType]) -> None:
        """Move tasks from other chunks into this one, up to `size`, to try a larger request."""
        for other in self.chunks():
            alike = (other.status, other.covered) == (chunk.status, chunk.covered)
            room = self.size - chunk.count
            if room <= 0:
                return
            if other is chunk or other.in_flight or not alike:
                continue
            chunk.swept_at = min(chunk.swept_at, other.swept_at)
            for task in list(self.members(other))[-room:]:
                self.leave(task)
                self._enter(task, chunk)

    def _move(self, chunk: Chunk[SeenType], tasks: Sequence[SeenType]) -> None:
        status, swept_at, covered = chunk.status, chunk.swept_at, chunk.covered
        for task in list(tasks):
            self.leave(task)
            self._join(task, status, swept_at, covered=covered)

    def _join(
        self,
        task: SeenType,
        status: str,
        swept_at: float | None = None,
        *,
        covered: bool | None = None,
    ) -> None:
        chunk = self._open.get(status)
        alike = chunk is not None and covered in (None, chunk.covered)
        if chunk is None or not alike or chunk.count >= self.size:
            chunk = self._new(
                status,
                self._now() if swept_at is None else swept_at,
                covered=self.covered if covered is None else covered,
            )
        if swept_at is not None:
            chunk.swept_at = min(chunk.swept_at, swept_at)
        self._enter(task, chunk)

    def _enter(self, task: SeenType, chunk: Chunk[SeenType]) -> None:
        task.chunk = chunk.number
        chunk.tasks.append(task)
        chunk.count += 1
        self.count += 1

    def _new(self, status: str, swept_at: float, *, covered: bool) -> Chunk[SeenType]:
        self._last_number += 1
        chunk: Chunk[SeenType] = Chunk(self._last_number, status, swept_at, covered=covered)
        self._chunks[chunk.number] = self._open[status] = chunk
        self._uncovered += not covered
        return chunk

    def _drop(self, chunk: Chunk[SeenType]) -> None:
        if self._chunks.pop(chunk.number, None) is not None:
            self._uncovered -= not chunk.covered
        if self._open.get(chunk.status) is chunk:
            del self._open[chunk.status]
