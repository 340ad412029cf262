"""Confirms any number of uploads, a hundred per request, each once.

The uploads of a request are claimed in the store before it is sent, and completed with the task it
started after it. A claim that was never completed was interrupted, and it is unknown whether
upstream accepted it: such uploads are `doubtful`, and are sent again only on demand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from watcher.core.clock import Clock
from watcher.core.errors import SourceError, SourceFailure
from watcher.core.interfaces.source import UPLOADS_PER_REQUEST, ConfirmsUploads
from watcher.core.interfaces.store import OperationLog
from watcher.core.tasks import Added, OperationScope, TaskKey, WatchRequest

_NOT_ACCEPTED = frozenset(
    {
        SourceFailure.CONNECT,
        SourceFailure.REDIRECT,
        SourceFailure.UNAUTHORIZED,
        SourceFailure.FORBIDDEN,
        SourceFailure.NOT_FOUND,
        SourceFailure.REJECTED,
        SourceFailure.RATE_LIMITED,
    }
)
"""Failures that prove that upstream did not accept the request."""


class UploadState(StrEnum):
    """The result of one upload."""

    CONFIRMED = "confirmed"
    ALREADY = "already"
    DOUBTFUL = "doubtful"


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadResult:
    """One upload, and the task that confirmed it."""

    upload_id: str
    state: UploadState
    task_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """The result of a request; `added` are the watches of the tasks it started."""

    results: Sequence[UploadResult]
    added: Sequence[Added]


class ConfirmationError(SourceError):
    """A request failed; `done` is what was confirmed before, and need not be sent again."""

    def __init__(self, error: SourceError, done: Confirmed) -> None:
        super().__init__(error.reason, str(error), retry_after=error.retry_after)
        self.done = done


async def confirm(
    source: ConfirmsUploads,
    store: OperationLog,
    bucket: OperationScope,
    confirmations: Sequence[Mapping[str, object]],
    *,
    namespace: str | None,
    resend_doubtful: bool,
    wall: Clock,
) -> Confirmed:
    """Confirm uploads, each a mapping with an `upload_id`, and watch the tasks that this starts.

    Raises `ConfirmationError` if upstream fails, and `StoreError`.
    """
    results: list[UploadResult] = []
    added: list[Added] = []
    for start in range(0, len(confirmations), UPLOADS_PER_REQUEST):
        chunk = confirmations[start : start + UPLOADS_PER_REQUEST]
        part = {str(one["upload_id"]): one for one in chunk}
        known = await store.claim_operations(bucket, list(part), wall())
        fresh = [
            one for one in part if one not in known or (resend_doubtful and known[one] is None)
        ]
        results += [_known(one, known[one]) for one in part if one not in fresh]
        if not fresh:
            continue
        try:
            task_id = await source.confirm_uploads(
                bucket.name, [part[one] for one in fresh], namespace
            )
        except SourceError as error:
            if error.reason in _NOT_ACCEPTED:
                await store.release_operations(bucket, [one for one in fresh if one not in known])
            raise ConfirmationError(error, Confirmed(results=results, added=added)) from None
        request = WatchRequest(key=TaskKey(bucket.source, task_id), namespace=namespace)
        added.append(await store.complete_operations(bucket, fresh, request, wall()))
        results += [_confirmed(upload_id, task_id) for upload_id in fresh]
    return Confirmed(results=results, added=added)


def _confirmed(upload_id: str, task_id: str) -> UploadResult:
    return UploadResult(upload_id=upload_id, state=UploadState.CONFIRMED, task_id=task_id)


def _known(upload_id: str, task_id: str | None) -> UploadResult:
    state = UploadState.DOUBTFUL if task_id is None else UploadState.ALREADY
    return UploadResult(upload_id=upload_id, state=state, task_id=task_id)
