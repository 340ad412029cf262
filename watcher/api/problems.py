"""Errors of the HTTP API as `application/problem+json` (RFC 9457)."""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Self

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from watcher.api.hardening import SECURITY_HEADERS
from watcher.core.errors import ErrorReply, StoreError
from watcher.core.masking import SECRETS
from watcher.core.texts import ERROR_MESSAGE_LIMIT, NAME_LIMIT, REASON_LIMIT

MEDIA_TYPE = "application/problem+json"
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


def install(api: FastAPI) -> None:
    """Make every error of `api` a problem."""

    @api.exception_handler(Problem)
    async def rejected(_: Request, problem: Problem) -> JSONResponse:
        return response(problem)

    @api.exception_handler(HTTPException)
    async def unrouted(request: Request, error: HTTPException) -> JSONResponse:
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            allowed = ", ".join(_allowed(api, request.url.path))
            headers = {"allow": allowed or headers.get("Allow", "")}
        return response(Problem(error.status_code, str(error.detail), headers=headers))

    @api.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        some = error.errors()[:MOST_ERRORS]
        errors = [field_error(one["loc"][1:], one["msg"]) for one in some]
        return response(
            Problem(422, "; ".join(f"{one.field}: {one.message}" for one in errors), errors=errors)
        )

    @api.exception_handler(StoreError)
    async def store_failed(_: Request, error: StoreError) -> JSONResponse:
        return response(Problem(503, str(error), headers={"retry-after": "5"}))

    @api.exception_handler(Exception)
    async def unexpected(_: Request, __: Exception) -> JSONResponse:
        # Beyond every middleware of the API, so without their headers.
        answer = response(Problem(500, "unexpected error; see the daemon's log"))
        answer.raw_headers.extend(SECURITY_HEADERS)
        return answer


def _allowed(api: FastAPI, path: str) -> list[str]:
    """Return all methods of `path`; the router knows only those of its first route."""
    if path in PROBES:
        return ["GET", "HEAD"]
    paths = api.openapi()["paths"]
    if path in paths:  # before templates that match it, too: /v1/deliveries/retry
        return [method.upper() for method in paths[path]]
    for template, operations in paths.items():
        if re.fullmatch(re.sub(r"\\\{[^}]+\}", "[^/]+", re.escape(template)), path):
            return [method.upper() for method in operations]
    return []


def field_error(place: Sequence[str | int], message: str) -> FieldError:
    """Return the error at `place`, which begins with the index of the entry if the body is a
    list.
    """
    index = next((part for part in place if isinstance(part, int)), None)
    names = [str(part) for part in place if not isinstance(part, int)]
    return FieldError(
        index=index, field=".".join(names), message=message.removeprefix("Value error, ")
    )
