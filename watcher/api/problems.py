"""Errors of the HTTP API as `application/problem+json` (RFC 9457)."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Self

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from watcher.core.errors import ErrorReply, StoreError
from watcher.core.masking import SECRETS
from watcher.core.texts import ERROR_MESSAGE_LIMIT, NAME_LIMIT, REASON_LIMIT

MEDIA_TYPE = "application/problem+json"
UNEXPECTED = "unexpected error; see the daemon's log"
MOST_ERRORS = 1000
"""Errors of one request that are listed."""
PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
"""Paths that also have HEAD, which the document does not show."""


class FieldError(BaseModel):
    """One error of a request: the index of its entry (None: the request itself) and its field."""

    index: int | None
    field: str
    message: str


class UpstreamError(BaseModel):
    """What upstream's error reply says; `details` is JSON, shortened where it is long."""

    status: int
    code: str | None
    type: str | None
    request_id: str | None
    details: Any

    @classmethod
    def of(cls, reply: ErrorReply) -> Self:
        return cls(
            status=reply.status,
            code=reply.code,
            type=reply.kind,
            request_id=reply.request_id,
            details=reply.details,
        )


class ProblemDetails(BaseModel):
    """RFC 9457. `upstream` is there if upstream replied with an error."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldError] = Field(default_factory=list)
    upstream: UpstreamError | None = None


class Problem(Exception):  # noqa: N818  # RFC 9457's own word
    """A rejected request, with the HTTP status and a text."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: dict[str, str] | None = None,
        upstream: ErrorReply | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = headers
        self.upstream = upstream


def store_failed(error: StoreError) -> Problem:
    """Return the problem of a request that needs the store."""
    return Problem(503, str(error), headers={"retry-after": "5"})


def response(problem: Problem) -> JSONResponse:
    """Return the problem with secrets masked, its texts and the number of its errors bounded."""
    content: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": SECRETS.cut(problem.detail, ERROR_MESSAGE_LIMIT),
    }
    if problem.errors:
        content["errors"] = [
            {
                "index": error.index,
                "field": SECRETS.cut(error.field, NAME_LIMIT),
                "message": SECRETS.cut(error.message, REASON_LIMIT),
            }
            for error in problem.errors[:MOST_ERRORS]
        ]
    if problem.upstream is not None:
        content["upstream"] = UpstreamError.of(problem.upstream).model_dump()
    return JSONResponse(
        SECRETS.json(content),
        status_code=problem.status,
        headers=problem.headers,
        media_type=MEDIA_TYPE,
    )


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI entries of these statuses; where a token may be wrong, of 429 too."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    limited = {HTTPStatus.TOO_MANY_REQUESTS.value} if HTTPStatus.UNAUTHORIZED in statuses else ()
    return {
        status: {"description": HTTPStatus(status).phrase, "content": content}
        for status in sorted({*statuses, *limited})
    }


def field_error(place: Sequence[str | int], message: str) -> FieldError:
    """Return the error at `place`, which begins with the index of the entry if the body is a
    list.
    """
    index = next((part for part in place if isinstance(part, int)), None)
    names = [str(part) for part in place if not isinstance(part, int)]
    return FieldError(
        index=index, field=".".join(names), message=message.removeprefix("Value error, ")
    )
