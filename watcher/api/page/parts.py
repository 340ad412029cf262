"""The files that pages consist of."""

from fastapi import Request, Response

from watcher.api.page.rendering import asset_response
from watcher.api.page.router import PageRouter
from watcher.api.problems import Problem

parts = PageRouter()


@parts.page("/static/{name}")
async def show_asset(request: Request, name: str) -> Response:
    """Return a style sheet, a script or a picture of the page."""
    response = asset_response(request.scope, name)
    if response is None:
        raise Problem(404, f"there is no {name}")
    return response
