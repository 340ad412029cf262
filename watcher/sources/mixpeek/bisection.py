"""Finding the task IDs for which the list rejects a request, by halving the request."""

from collections.abc import Sequence

from watcher.core.errors import SourceError


class Bisection:
    """The chunks of task IDs still to request, and the IDs that were rejected alone."""

    def __init__(self, task_ids: Sequence[str]) -> None:
        self._chunks: list[Sequence[str]] = [task_ids] if task_ids else []
        self.rejected: dict[str, SourceError] = {}

    def next_chunk(self) -> Sequence[str] | None:
        """Return the chunk to request next, in the original order; None when there is none left."""
        return self._chunks.pop() if self._chunks else None

    def split(self, chunk: Sequence[str], error: SourceError) -> None:
        """Request both halves of a chunk that failed; a single ID is rejected."""
        if len(chunk) == 1:
            self.rejected[chunk[0]] = error
            return
        middle = len(chunk) // 2
        self._chunks += [chunk[middle:], chunk[:middle]]
