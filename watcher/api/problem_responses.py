"""A problem as its client reads it: a page for a browser, JSON for a program."""

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Scope

from watcher.api.page.paths import is_of_api
from watcher.api.problems import Problem, response


def is_browser(scope: Scope) -> bool:
    """Return whether a request accepts HTML, and its path is outside the API."""
    return not is_of_api(scope["path"]) and "text/html" in Headers(scope=scope).get("accept", "")


def problem_response(scope: Scope, problem: Problem) -> Response:
    """Return a problem as what the client of a request reads."""
    if not is_browser(scope):
        return response(problem)
    # Imported with the first page: many watchers show none.
    from watcher.api.page.problem_pages import problem_page

    return problem_page(scope, problem)
