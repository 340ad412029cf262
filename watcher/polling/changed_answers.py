"""What follows from the tasks that an answer to a request for changes shows.

It counts for a task only if no other poll of it was sent or answered since the request. So answers
that arrive in another order are never taken for changes.
"""

from collections.abc import Awaitable, Callable, Sequence

import anyio

from watcher.core.tasks import Observation, Shown
from watcher.polling.answers import AnswerProcessor
from watcher.polling.context import PollingContext
from watcher.polling.last_seen import Chunk
from watcher.polling.recorder import PendingStep
from watcher.polling.watchlist import TrackedTask, TrackedTasks

TaskChunk = Chunk[TrackedTask]


class ChangedAnswers:
    """Sorts the answers of one source; `record` stores steps."""

    def __init__(
        self,
        context: PollingContext,
        tasks: TrackedTasks,
        answers: AnswerProcessor,
        record: Callable[[Sequence[PendingStep]], Awaitable[None]],
    ) -> None:
        self._context = context
        self._tasks = tasks
        self._last_seen = tasks.last_seen
        self._answers = answers
        self._record = record

    async def take(
        self, shown: Sequence[Shown], chunks: Sequence[TaskChunk], sent_at: float
    ) -> str | None:
        """Record what an answer shows about chunks that were requested at `sent_at`; return why it
        is in doubt, if it is.
        """
        changed: dict[str, TrackedTask] = {}
        answers: list[Observation] = []
        others: list[str] = []
        doubt = None
        for answer in shown:
            task = self._tasks.get(answer.task_id)
            chunk = None if task is None else self._chunk(task, chunks)
            if task is None or chunk is None:
                others.append(answer.task_id)
            elif isinstance(answer, Observation):
                if answer.status == chunk.status:
                    doubt = self._unchanged(task, answer) or doubt
                elif _is_latest(task, sent_at):
                    changed[answer.task_id] = task
                    answers.append(answer)
        await self._process(changed, answers)
        if others and not self._were_requested(others, chunks):
            return "it returns tasks that were not requested"
        return doubt

    @staticmethod
    def _chunk(task: TrackedTask, chunks: Sequence[TaskChunk]) -> TaskChunk | None:
        return next((chunk for chunk in chunks if chunk.number == task.chunk), None)

    async def _process(
        self, waiting: dict[str, TrackedTask], answers: Sequence[Observation]
    ) -> None:
        if not answers:
            return
        tasks = list(waiting.values())
        for task in tasks:
            self._tasks.common.remove(task)
        try:
            await self._record(self._answers.process(waiting, answers))
        except Exception:
            left = [task for task in tasks if task.slot is None]
            self._tasks.reschedule(left, anyio.current_time())
            raise

    def _were_requested(self, task_ids: Sequence[str], chunks: Sequence[TaskChunk]) -> bool:
        """Return whether tasks were in a chunk when it was requested; upstream ignores case."""
        others = [one for one in task_ids if not any(one in chunk.left for chunk in chunks)]
        if not others:
            return True
        requested = {
            task.task_id.casefold() for chunk in chunks for task in self._last_seen.members(chunk)
        }
        return all(one.casefold() in requested for one in others)

    def _unchanged(self, task: TrackedTask, answer: Observation) -> str | None:
        """Return why a task that came back with its last status puts the answer in doubt.

        If upstream spells the status in another way, the condition cannot see it: poll the task.
        """
        spelling = answer.detail().upstream_status
        if spelling is None or spelling == answer.status:
            return "it returns tasks whose status has not changed"
        now = anyio.current_time()
        self._last_seen.leave(task)
        self._tasks.common.spread([task], now, now + self._context.polling.max_interval)
        return None


def _is_latest(task: TrackedTask, sent_at: float) -> bool:
    """Return whether no other poll of a task was sent or answered since."""
    waits = task.slot is not None and not task.not_in_page
    return waits and (task.answered_at is None or task.answered_at <= sent_at)
