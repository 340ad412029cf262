"""The schemas of confirming uploads."""

from typing import Annotated, Self

import msgspec
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from watcher.api.fields import Printable
from watcher.api.openapi import ItemOrNull
from watcher.api.uploads import ConfirmationRequest, Confirmed, UploadResult, UploadState


def _whole(value: object) -> object:
    """Return a whole number as an integer: in JSON, 7 and 7.0 are the same."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class ConfirmationView(BaseModel):
    """A completed upload."""

    model_config = ConfigDict(extra="forbid", strict=True)

    upload_id: Printable
    etag: Annotated[str, Field(max_length=1024)] | None = None
    file_size_bytes: Annotated[int, Field(ge=1), BeforeValidator(_whole)] | None = None


class ConfirmRequestView(BaseModel):
    """Uploads to confirm.

    `resend_doubtful` also sends uploads again whose result is unknown, because a request was
    interrupted.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    confirmations: Annotated[list[ConfirmationView], Field(min_length=1, max_length=1000)]
    resend_doubtful: bool = False


class UploadResultView(msgspec.Struct, frozen=True):
    """The state of one upload, the task that confirmed it, and what upstream answered just now."""

    upload_id: str
    state: UploadState
    task_id: str | None
    status: str | None
    message: str | None

    @classmethod
    def of(cls, result: UploadResult) -> Self:
        return cls(
            upload_id=result.upload_id,
            state=result.state,
            task_id=result.task_id,
            status=result.status,
            message=result.message,
        )


class ConfirmationRequestView(msgspec.Struct, frozen=True):
    """One request to upstream, and its answer; fewer confirmed than sent leave doubt about all."""

    task_id: str
    status: str | None
    message: str | None
    sent: int
    confirmations_count: int | None
    task: ItemOrNull

    @classmethod
    def of(cls, request: ConfirmationRequest) -> Self:
        answer = request.answer
        return cls(
            task_id=answer.task_id,
            status=answer.status,
            message=answer.message,
            sent=request.sent,
            confirmations_count=answer.count,
            task=answer.task,
        )


class ConfirmedView(msgspec.Struct, frozen=True):
    """The result of a confirmation: of each upload, and of each request to upstream."""

    items: list[UploadResultView]
    next_cursor: None
    requests: list[ConfirmationRequestView]

    @classmethod
    def of(cls, done: Confirmed) -> Self:
        return cls(
            items=[UploadResultView.of(result) for result in done.results],
            next_cursor=None,
            requests=[ConfirmationRequestView.of(request) for request in done.requests],
        )
