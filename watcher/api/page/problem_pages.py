"""Errors as people read them: what is wrong, and what to do."""

from http import HTTPStatus

from starlette.responses import Response
from starlette.types import Scope

from watcher.api.page.paths import NAVIGATION
from watcher.api.page.rendering import rendered
from watcher.api.problems import Problem
from watcher.core.masking import SECRETS
from watcher.core.texts import REASON_LIMIT

_RETRY = "Load this page again in a moment."
_CORRECT = "Go back, correct the address or the form, and try again."
_ELSEWHERE = "Open the page that has the form, and send it from there."
_OURS = "Open the page at the address that the watcher prints at its start, and try it from there."
_TEXTS = {
    400: ("Not valid", _CORRECT),
    401: ("Not logged in", "Log in with the API token."),
    403: ("Not allowed", _OURS),
    404: (
        "Not found",
        "Look for it with the search field of the tasks, or go to one of the pages.",
    ),
    405: ("Not possible here", _ELSEWHERE),
    409: ("Not possible now", _RETRY),
    413: ("Too large", "Go back, and send less."),
    415: ("Not valid", _ELSEWHERE),
    422: ("Not valid", _CORRECT),
    429: ("Too many", "Wait a moment, and try again."),
    431: ("Too large", "Shorten the address, or delete the cookies of this host."),
    500: ("An error of the watcher", "Its log has more about this error. Please report it."),
    503: (
        "Not available",
        f"{_RETRY} The log of the watcher says more, and so does this command:",
    ),
}


def problem_page(scope: Scope, problem: Problem) -> Response:
    """Return a problem as a page, which says what to do."""
    status = problem.status
    heading, advice = _TEXTS.get(status) or (HTTPStatus(status).phrase, _RETRY)
    context = {
        "heading": heading,
        "detail": SECRETS.cut(problem.detail, REASON_LIMIT),
        "advice": advice,
        "command": "watcher healthcheck" if status == HTTPStatus.SERVICE_UNAVAILABLE else None,
        "navigation": NAVIGATION,
        "here": "",
    }
    response = rendered(scope, "problem.html", context, status=status)
    response.headers.update(problem.headers or {})
    return response
