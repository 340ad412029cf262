"""Polling one task per request: `GET /v1/tasks/{task_id}`."""

from collections.abc import AsyncGenerator, Sequence

from watcher.core.errors import SourceError
from watcher.core.tasks import Answer, Observation, TaskNotFound, TaskUnreadable
from watcher.core.texts import is_id
from watcher.net.exchange import Reply
from watcher.sources._calls import Call
from watcher.sources.mixpeek.connection import Connection
from watcher.sources.mixpeek.error_decoding import is_api_error
from watcher.sources.mixpeek.list_health import ListHealth
from watcher.sources.mixpeek.paths import path_of
from watcher.sources.mixpeek.task_decoding import TaskDecoder

GET_TASK = "GET /v1/tasks/{task_id}"
_WITH_TASK = frozenset({200, 202, 203})
"""Statuses that come with a task: 202 while it runs, 203 from a gateway that changed the answer."""


class GetEndpoint:
    """Implements `watcher.core.interfaces.source.Endpoint`; its answers also judge the list.

    `failing` is whether the last request failed.
    """

    capacity = 1

    def __init__(
        self, connection: Connection, list_health: ListHealth, decoder: TaskDecoder
    ) -> None:
        self.connection = connection
        self.decoder = decoder
        self._list_health = list_health
        self.failing = False

    def requests_for(self, tasks: int) -> int:
        return tasks if self.connection.limited(GET_TASK) else 0

    def wait(self) -> float:
        return self.connection.wait(GET_TASK)

    async def admit(self) -> None:
        await self.connection.admit(GET_TASK)

    async def fetch(self, task_ids: Sequence[str]) -> AsyncGenerator[Sequence[Answer], None]:
        for task_id in task_ids:
            if not is_id(task_id):
                self.connection.withdraw(GET_TASK)
                yield [_never_requested(task_id)]
                continue
            try:
                answer = self._answer(task_id, await self.connection.send(_call(task_id)))
            except SourceError:
                self.failing = True
                raise
            if self.failing:
                self.failing = False
                self._list_health.source_recovered()
            if isinstance(answer, Observation):
                self._list_health.found_by_get(task_id)
            yield [answer]

    async def sample(self, task_id: str, max_wait: float) -> Answer:
        """Poll one task outside the schedule, to test the list; wait `max_wait` s for the budget.

        Raises `SourceError`.
        """
        if not is_id(task_id):
            return _never_requested(task_id)
        reply = await self.connection.request(_call(task_id), max_wait)
        return self._answer(task_id, reply)

    def _answer(self, task_id: str, reply: Reply) -> Answer:
        if reply.status in _WITH_TASK:
            return self.decoder.reply(task_id, reply)
        if reply.status == 404 and is_api_error(reply.body):
            return TaskNotFound(task_id=task_id)
        raise self.connection.error(reply)


def _never_requested(task_id: str) -> TaskUnreadable:
    return TaskUnreadable(task_id=task_id, reason="its ID cannot be part of a path")


def _call(task_id: str) -> Call:
    return Call(route=GET_TASK, path=path_of(GET_TASK, task_id=task_id))
