"""Routes of the page. An error of one is a page, too."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from watcher.api.page.rendering import rendered
from watcher.api.problems import Problem
from watcher.core.errors import StoreError
from watcher.core.masking import SECRETS
from watcher.core.texts import REASON_LIMIT

Endpoint = TypeVar("Endpoint", bound=Callable[..., Coroutine[Any, Any, Response]])

_TITLES = {
    403: "Not allowed",
    404: "Not found",
    409: "Not possible now",
    413: "Too large",
    422: "Not valid",
    429: "Too many",
    503: "The store does not answer",
}


class PageRoute(APIRoute):
    """A route whose problems are pages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except Problem as problem:
                return problem_page(request, problem.status, problem.detail, problem.headers)
            except HTTPException as error:
                return problem_page(request, error.status_code, str(error.detail))
            except RequestValidationError as error:
                first = error.errors()[0]
                place = ".".join(map(str, first["loc"][1:]))
                return problem_page(request, 422, f"{place}: {first['msg']}")
            except StoreError as error:
                return problem_page(request, 503, str(error))

        return handle


class PageRouter(APIRouter):
    """Routes that are no part of the API's document."""

    def __init__(self) -> None:
        super().__init__(route_class=PageRoute, include_in_schema=False)

    def page(self, path: str) -> Callable[[Endpoint], Endpoint]:
        """Show a page at `path`."""
        return self._route(path, ["GET", "HEAD"])

    def action(self, path: str) -> Callable[[Endpoint], Endpoint]:
        """Take a form at `path`."""
        return self._route(path, ["POST"])

    def _route(self, path: str, methods: list[str]) -> Callable[[Endpoint], Endpoint]:
        def add(endpoint: Endpoint) -> Endpoint:
            self.add_api_route(path, endpoint, methods=methods, response_class=Response)
            return endpoint

        return add


def problem_page(
    request: Request, status: int, detail: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an error as a page."""
    context = {
        "heading": _TITLES.get(status, f"Error {status}"),
        "detail": SECRETS.cut(detail, REASON_LIMIT),
    }
    response = rendered(request.scope, "problem.html", context, status=status)
    response.headers.update(headers or {})
    return response
