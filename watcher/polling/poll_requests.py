"""One request for tasks: what is fetched is compared, and recorded."""

from collections.abc import Sequence
from contextlib import aclosing

import anyio

from watcher.core.errors import SourceError, SourceFailure
from watcher.core.interfaces.source import Endpoint
from watcher.polling.answers import AnswerProcessor
from watcher.polling.batch_lookup import BatchLookup
from watcher.polling.context import PollingContext
from watcher.polling.outage import SourceOutage
from watcher.polling.recorder import PendingStep, Recorder
from watcher.polling.watchlist import TrackedTask, TrackedTasks
from watcher.telemetry.metrics import Component


class PollRequests:
    """The requests of one source for tasks that were taken from a schedule."""

    def __init__(
        self,
        context: PollingContext,
        *,
        tasks: TrackedTasks,
        answers: AnswerProcessor,
        outage: SourceOutage,
        batches: BatchLookup,
        recorder: Recorder,
    ) -> None:
        self._context = context
        self._tasks = tasks
        self._answers = answers
        self._outage = outage
        self._batches = batches
        self._recorder = recorder

    async def poll(
        self, endpoint: Endpoint, tasks: Sequence[TrackedTask], *, individually: bool
    ) -> None:
        """Poll tasks in one request; whatever happens, they are polled again.

        `individually` says that the request is for one task alone.
        """
        try:
            waiting = {task.task_id: task for task in tasks}
            await self._fetch(endpoint, waiting, individually=individually)
        except Exception as error:
            self._context.unexpected.report(Component.POLLER, error)
            failure = SourceError(SourceFailure.PROTOCOL, f"unexpected {type(error).__name__}")
            left = [task for task in tasks if task.slot is None]
            self._answers.unanswered(left, failure, individually=False)

    async def _fetch(
        self, endpoint: Endpoint, waiting: dict[str, TrackedTask], *, individually: bool
    ) -> None:
        """Poll the waiting tasks, and record what follows."""
        try:
            async with aclosing(endpoint.fetch(list(waiting))) as parts:
                async for answers in parts:
                    await self.record(self._answers.process(waiting, answers))
            self._tasks.reschedule(waiting.values(), anyio.current_time())
        except SourceError as error:
            left = list(waiting.values())
            await self.record(self._answers.unanswered(left, error, individually=individually))

    async def record(self, steps: Sequence[PendingStep]) -> None:
        """Store steps."""
        if steps:
            await self._recorder.record(await self._batches.resolve(steps))

    async def store_outage(self) -> None:
        """Store the beginning or the end of an outage; if the store fails, the next call does."""

        async def store() -> None:
            if await self._outage.store_changes():
                self._context.outbox.set()

        await self._recorder.attempt(store)
