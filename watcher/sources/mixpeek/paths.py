"""Paths of the API with IDs in them, which come from people, from lists, and from answers."""

from watcher.core.errors import SourceError, SourceFailure
from watcher.core.texts import check_id
from watcher.net.url import quote_segment


def path_of(template: str, **ids: str) -> str:
    """Return the path of a route such as `GET /v1/tasks/{task_id}` with these IDs in it.

    Raises `SourceError` (rejected) for an ID that could lead to another route.
    """
    try:
        segments = {name: quote_segment(check_id(text)) for name, text in ids.items()}
    except ValueError as error:
        raise SourceError(SourceFailure.REJECTED, f"the request is not sent: {error}") from None
    return template.partition(" ")[2].format(**segments)
