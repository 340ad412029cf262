"""The sources: whether they answer, how much of their budget is used, and what rules found."""

from fastapi import Request, Response

from watcher.api.dependencies import Running
from watcher.api.page import views
from watcher.api.page.frame import show
from watcher.api.page.router import PageRouter

sources = PageRouter()


@sources.page("/sources")
async def show_sources(request: Request, daemon: Running) -> Response:
    """Show the sources as a table, then each with its budget and its discovery rules."""
    now = await daemon.shown_status()
    return await show(
        request,
        daemon,
        "sources.html",
        title="Sources",
        here="sources",
        sources=views.sources(now, daemon.settings),
        budgets={source.name: views.budgets(source) for source in now.sources},
        rules=now.rules,
    )
