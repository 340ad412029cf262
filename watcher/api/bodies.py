"""Routes that take no body."""

from fastapi import Depends, Request

from watcher.api.admission import WITH_BODY, by_name, has_body
from watcher.api.problems import Problem


async def _no_body(request: Request) -> None:
    if has_body(by_name(request.headers.raw)):
        raise Problem(413, "this request takes no body")


async def _no_body_by_method(request: Request) -> None:
    if request.method not in WITH_BODY:
        await _no_body(request)


NO_BODY = Depends(_no_body)
"""For a route whose method may have a body, and which takes none."""
NO_BODY_BY_METHOD = Depends(_no_body_by_method)
"""For all routes. What no route has gets 404 or 405, whatever its body is."""
