"""Every error of a route becomes a problem."""

import re
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from watcher.api.hardening import SECURITY_HEADERS
from watcher.api.problems import (
    MOST_ERRORS,
    PROBES,
    UNEXPECTED,
    Problem,
    field_error,
    response,
    store_failed,
)
from watcher.core.errors import StoreError


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
    async def not_stored(_: Request, error: StoreError) -> JSONResponse:
        return response(store_failed(error))

    @api.exception_handler(Exception)
    async def unexpected(_: Request, __: Exception) -> JSONResponse:
        # Beyond every middleware of the API, so without their headers.
        answer = response(Problem(500, UNEXPECTED))
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
