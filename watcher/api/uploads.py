"""Confirms any number of uploads, a hundred per request, each once.

The uploads of a request are claimed in the store before it is sent, and completed with the task it
started after it. A claim that was never completed was interrupted, and it is unknown whether
upstream accepted it: such uploads are `doubtful`, and are sent again only on demand. So are all
uploads of a request of which upstream confirms fewer than were sent, because it does not say which.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from watcher.core.clock import Clock
from watcher.core.errors import SourceError, SourceFailure, WatcherError
from watcher.core.interfaces.source import UPLOADS_PER_REQUEST, Confirmation, ConfirmsUploads
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
    """One upload, and the task that confirmed it.

    `status` and `message` are of upstream's answer; None if nothing was sent for it now.
    """

    upload_id: str
    state: UploadState
    task_id: str | None
    status: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmationRequest:
    """One request to upstream: how many uploads it sent, and upstream's answer."""

    sent: int
    answer: Confirmation

    @property
    def is_complete(self) -> bool:
        """Whether upstream confirms all uploads that were sent, as far as it says."""
        return self.answer.count is None or self.answer.count >= self.sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """The results so far; `added` are the watches of the tasks that the requests started."""

    results: Sequence[UploadResult]
    requests: Sequence[ConfirmationRequest]
    added: Sequence[Added]


class ConfirmationError(WatcherError):
    """A request failed with `error`; `done` was confirmed before, and need not be sent again."""

    def __init__(self, error: SourceError, done: Confirmed) -> None:
        super().__init__(str(error))
        self.error = error
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
    requests: list[ConfirmationRequest] = []
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
            sent = [part[one] for one in fresh]
            answer = await source.confirm_uploads(bucket.name, sent, namespace)
        except SourceError as error:
            if error.reason in _NOT_ACCEPTED:
                await store.release_operations(bucket, [one for one in fresh if one not in known])
            done = Confirmed(results=results, requests=requests, added=added)
            raise ConfirmationError(error, done) from None
        request = ConfirmationRequest(sent=len(fresh), answer=answer)
        requests.append(request)
        added.append(await _complete(store, bucket, fresh, request, namespace, wall))
        results += [_sent(upload_id, request) for upload_id in fresh]
    return Confirmed(results=results, requests=requests, added=added)


async def _complete(
    store: OperationLog,
    bucket: OperationScope,
    upload_ids: Sequence[str],
    request: ConfirmationRequest,
    namespace: str | None,
    wall: Clock,
) -> Added:
    """Store what upstream confirms, and watch the task that it started."""
    key = TaskKey(bucket.source, request.answer.task_id)
    started = WatchRequest(key=key, namespace=namespace)
    completed = upload_ids if request.is_complete else []
    return await store.complete_operations(bucket, completed, started, wall())


def _sent(upload_id: str, request: ConfirmationRequest) -> UploadResult:
    answer = request.answer
    return UploadResult(
        upload_id=upload_id,
        state=UploadState.CONFIRMED if request.is_complete else UploadState.DOUBTFUL,
        task_id=answer.task_id if request.is_complete else None,
        status=answer.status,
        message=answer.message,
    )


def _known(upload_id: str, task_id: str | None) -> UploadResult:
    state = UploadState.DOUBTFUL if task_id is None else UploadState.ALREADY
    return UploadResult(upload_id=upload_id, state=state, task_id=task_id)
