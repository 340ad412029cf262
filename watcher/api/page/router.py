"""Routes of the page. An error of one is a page, too."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from watcher.api.page.problem_pages import problem_page
from watcher.api.problems import Problem, store_failed
from watcher.core.errors import StoreError

Endpoint = TypeVar("Endpoint", bound=Callable[..., Coroutine[Any, Any, Response]])


class PageRoute(APIRoute):
    """A route whose problems are pages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except Problem as error:
                problem = error
            except HTTPException as error:
                problem = Problem(error.status_code, str(error.detail))
            except RequestValidationError as error:
                first = error.errors()[0]
                place = ".".join(map(str, first["loc"][1:]))
                problem = Problem(422, f"{place}: {first['msg']}")
            except StoreError as error:
                problem = store_failed(error)
            return problem_page(request.scope, problem)

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
