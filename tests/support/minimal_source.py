"""A source without any capability: only what `watcher.core.interfaces.source.Source` requires."""

from collections.abc import AsyncGenerator, Sequence

from watcher.core.interfaces.source import Endpoint, Source
from watcher.core.tasks import Answer, TaskNotFound


class MinimalEndpoint:
    """Implements `watcher.core.interfaces.source.Endpoint`: no budget, no tasks."""

    capacity = 1

    def requests_for(self, tasks: int) -> int:
        return 0

    def wait(self) -> float:
        return 0.0

    async def admit(self) -> None:
        pass

    async def fetch(self, task_ids: Sequence[str]) -> AsyncGenerator[Sequence[Answer], None]:
        yield [TaskNotFound(task_id=task_id) for task_id in task_ids]


class MinimalSource:
    """Implements `watcher.core.interfaces.source.Source`."""

    def __init__(self) -> None:
        self.single: Endpoint = MinimalEndpoint()
        self.shared: Endpoint | None = None


def minimal_source() -> Source:
    """Return a source that can only be polled, one task per request."""
    return MinimalSource()
