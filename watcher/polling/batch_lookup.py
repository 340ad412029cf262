"""When a task is gone, its batch may still show it: upstream keeps tasks for a day, batches longer.

The batch and its bucket are read from the last event of the task.
"""

from collections.abc import Sequence

import msgspec

from watcher.core.errors import SourceError, StoreError
from watcher.core.interfaces.source import BatchOfTask, FindsTasksInBatches, Source
from watcher.core.tasks import Observation
from watcher.core.texts import is_id
from watcher.polling.absence import AbsenceJudge
from watcher.polling.context import PollingContext
from watcher.polling.recorder import PendingStep
from watcher.polling.transitions import Step
from watcher.polling.watchlist import TrackedTask


class _Place(msgspec.Struct):
    batch_id: str | None = None
    bucket_id: str | None = None
    namespace_id: str | None = None


class _Fields(msgspec.Struct):
    task_type: str | None = None
    namespace: str | None = None
    additional_data: msgspec.Raw = msgspec.Raw(b"null")


class _Body(msgspec.Struct):
    data: _Fields


_decode_body = msgspec.json.Decoder(_Body).decode
_decode_place = msgspec.json.Decoder(_Place).decode


class BatchLookup:
    """Replaces 404s by what the batches show. Without the capability, answers stay as they are."""

    def __init__(self, source: Source, context: PollingContext, absences: AbsenceJudge) -> None:
        self._source = source if isinstance(source, FindsTasksInBatches) else None
        self._context = context
        self._absences = absences

    async def resolve(self, steps: Sequence[PendingStep]) -> Sequence[PendingStep]:
        """Return the steps, with a transition in place of each absence that a batch explains."""
        if self._source is None or not any(_is_absence(step) for step in steps):
            return steps
        return [await self._resolved(step) if _is_absence(step) else step for step in steps]

    async def _resolved(self, absence: PendingStep) -> PendingStep:
        shown = await self._look_up(absence.task)
        if shown is None:
            return absence
        self._absences.observe(absence.task.task_id, known=True)
        if shown.status != absence.task.status:
            step = Step.TRANSITION
        else:
            step = Step.UNCHANGED if absence.task.missing_since is None else Step.FOUND
        return PendingStep(absence.task, step, shown)

    async def _look_up(self, task: TrackedTask) -> Observation | None:
        try:
            batch = await self._batch_of(task)
            if batch is None or self._source is None:
                return None
            return await self._source.find_in_batch(task.task_id, batch)
        except (SourceError, StoreError):
            return None  # what the task's own endpoint answered stands

    async def _batch_of(self, task: TrackedTask) -> BatchOfTask | None:
        events = await self._context.store.transitions(self._context.key(task.task_id))
        bodies = [event.body for event in events if event.status == task.status]
        if not bodies:
            return None
        try:
            data = _decode_body(bodies[-1]).data
            place = _decode_place(data.additional_data)
        except msgspec.MsgspecError:
            return None
        if place.batch_id is None or place.bucket_id is None:
            return None
        namespace = data.namespace or place.namespace_id
        return BatchOfTask(
            bucket_id=place.bucket_id,
            batch_id=place.batch_id,
            namespace=namespace if is_id(namespace) else None,
            task_type=data.task_type,
        )


def _is_absence(step: PendingStep) -> bool:
    return step.observation is None and step.reason is None
