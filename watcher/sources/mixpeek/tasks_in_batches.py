"""Tasks as their batch shows them: `GET /v1/buckets/{bucket}/batches/{batch}`.

The API forgets a task before its batch. A batch has one task, and one per tier.
"""

import msgspec

from watcher.core.interfaces.source import BatchOfTask
from watcher.core.statuses import StatusTable
from watcher.core.tasks import Detail, Observation
from watcher.sources._calls import Call
from watcher.sources._errors import UNREADABLE, error_text, protocol_error
from watcher.sources.mixpeek.connection import Connection, namespace_header
from watcher.sources.mixpeek.paths import path_of

GET_BATCH = "GET /v1/buckets/{bucket}/batches/{batch}"
_WITH_ERROR = frozenset({"FAILED", "COMPLETED_WITH_ERRORS", "CANCELED"})
_MAX_WAIT = 10.0
"""Seconds to wait for the budget: the task itself is polled again anyway."""


class _Tier(msgspec.Struct):
    task_id: object = None
    status: object = None
    tier_num: object = None


class _Batch(_Tier):
    tier_tasks: list[_Tier] | None = None
    failure_reason: object = None
    error_summary: object = None


class _KnownDetail:
    """Implements `watcher.core.tasks.Details` for a task without an answer of its own."""

    def __init__(self, detail: Detail) -> None:
        self._detail = detail

    def of(self, task_id: str) -> Detail:
        return self._detail


_decode_batch = msgspec.json.Decoder(_Batch).decode


class TasksInBatches:
    """Implements `watcher.core.interfaces.source.FindsTasksInBatches`."""

    def __init__(
        self, connection: Connection, namespace: str | None, statuses: StatusTable
    ) -> None:
        self._connection = connection
        self._namespace = namespace
        self._statuses = statuses

    async def find_in_batch(self, task_id: str, batch: BatchOfTask) -> Observation | None:
        call = Call(
            route=GET_BATCH,
            path=path_of(GET_BATCH, bucket=batch.bucket_id, batch=batch.batch_id),
            headers=namespace_header(batch.namespace or self._namespace),
        )
        reply = await self._connection.request(call, max_wait=_MAX_WAIT)
        if reply.status != 200:
            raise self._connection.error(reply)
        try:
            found = _decode_batch(reply.body)
        except UNREADABLE:
            raise protocol_error("the answer is not the JSON of a batch") from None
        for tier in (found, *(found.tier_tasks or ())):
            status = self._statuses.canonical(tier.status)
            if tier.task_id == task_id and status:
                return _observation(task_id, status, tier, found, batch)
        return None


def _observation(
    task_id: str, status: str, tier: _Tier, found: _Batch, batch: BatchOfTask
) -> Observation:
    error = None
    if status in _WITH_ERROR:
        error = error_text(found.failure_reason) or error_text(found.error_summary)
    additional_data = {
        "batch_id": batch.batch_id,
        "bucket_id": batch.bucket_id,
        "namespace_id": batch.namespace,
        "tier_num": tier.tier_num,
    }
    detail = Detail(
        error_message=error,
        raw=msgspec.Raw(msgspec.json.encode({"additional_data": additional_data})),
        upstream_status=tier.status if isinstance(tier.status, str) else None,
        observed_from="batch",
    )
    return Observation(
        task_id=task_id, status=status, task_type=batch.task_type, details=_KnownDetail(detail)
    )
