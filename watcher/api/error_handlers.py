"""Every error of a route becomes a problem, and each path without a route."""

import re
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from watcher.api.hardening import SECURITY_HEADERS
from watcher.api.page.paths import without_slash
from watcher.api.page.prefix import WITHOUT_PREFIX
from watcher.api.problem_responses import problem_response
from watcher.api.problems import (
    MOST_ERRORS,
    PROBES,
    UNEXPECTED,
    Problem,
    field_error,
    store_failed,
)
from watcher.core.errors import StoreError
from watcher.core.texts import NAME_LIMIT, cut, visible


def install(api: FastAPI) -> None:
    """Make every error of `api` a problem."""

    @api.exception_handler(Problem)
    async def rejected(request: Request, problem: Problem) -> Response:
        return problem_response(request.scope, problem)

    @api.exception_handler(HTTPException)
    async def unrouted(request: Request, error: HTTPException) -> Response:
        return _unrouted(api, request, error)

    @api.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        some = error.errors()[:MOST_ERRORS]
        errors = [field_error(one["loc"][1:], one["msg"]) for one in some]
        detail = "; ".join(f"{one.field}: {one.message}" for one in errors)
        return problem_response(request.scope, Problem(422, detail, errors=errors))

    @api.exception_handler(StoreError)
    async def not_stored(request: Request, error: StoreError) -> Response:
        return problem_response(request.scope, store_failed(error))

    @api.exception_handler(Exception)
    async def unexpected(request: Request, __: Exception) -> Response:
        # Beyond every middleware of the API, so without their headers.
        scope = request.scope.get(WITHOUT_PREFIX, request.scope)
        answer = problem_response(scope, Problem(500, UNEXPECTED))
        for name, value in SECURITY_HEADERS:
            answer.headers.setdefault(name.decode(), value.decode())
        return answer


def _unrouted(api: FastAPI, request: Request, error: HTTPException) -> Response:
    path, detail, headers = request.url.path, str(error.detail), dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = ", ".join(_allowed(api, path)) or headers.get("Allow", "")
        detail, headers = f"this address takes {allowed}", {"allow": allowed}
    elif detail == HTTPStatus.NOT_FOUND.phrase:
        place, query = without_slash(path), request.url.query
        if place is not None:
            return RedirectResponse(f"{place}?{query}" if query else place)
        detail = f"there is nothing at {cut(visible(path), NAME_LIMIT)}"
    return problem_response(request.scope, Problem(error.status_code, detail, headers=headers))


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
