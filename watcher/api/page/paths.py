"""The addresses of the page. Pure.

Every link of a page is relative to it, so that a page works below any path of a proxy.
"""

import re
from collections.abc import Mapping
from urllib.parse import quote, urlencode

from watcher.core.summary import FailureGroup

LOGIN = "/login"
STATIC = "/static/"
CHANGES = "/changes"
NAVIGATION = (
    ("./", "Overview"),
    ("tasks", "Tasks"),
    ("batches", "Batches"),
    ("deliveries", "Deliveries"),
    ("channels", "Channels"),
    ("sources", "Sources"),
    ("settings", "Settings"),
)
"""The pages that each page leads to."""

_FIRST_SEGMENTS = frozenset(
    {
        "",
        "batches",
        "changes",
        "channels",
        "deliveries",
        "login",
        "logout",
        "settings",
        "sources",
        "static",
        "tasks",
    }
)
_OF_API = frozenset({"v1", "healthz", "readyz", "metrics", "openapi.json"})
_UNSAFE_NEXT = re.compile(r"[^\x21-\x7e]|[\\#]|^/|(^|/)\.\.(/|\?|$)")


def is_page(path: str) -> bool:
    """Return whether `path` belongs to the page, not to the API."""
    return path.split("/", 2)[1] in _FIRST_SEGMENTS if path.startswith("/") else False


def is_of_api(path: str) -> bool:
    """Return whether `path` belongs to the API: only programs read what it answers."""
    return path.removeprefix("/").partition("/")[0] in _OF_API


def without_slash(path: str) -> str | None:
    """Return the relative address of the page that `path` names but for a slash at its end."""
    name = path.strip("/")
    return f"../{name}" if path == f"/{name}/" and name in _FIRST_SEGMENTS else None


def root_of(raw_path: str) -> str:
    """Return the relative address of the overview from `raw_path`, as the server sees it.

    The path is the one before percent-decoding, as a browser resolves it.
    """
    return "../" * (raw_path.count("/") - 1) or "./"


def safe_next(text: str) -> str:
    """Return `text` if it is an address below the overview and relative to it; otherwise ``."""
    return "" if _UNSAFE_NEXT.search(text) else text


def address(path: str, query: Mapping[str, str | None] | None = None) -> str:
    """Return `path`, relative to the overview, with those parts of `query` that are set."""
    given = {name: value for name, value in (query or {}).items() if value}
    return f"{path}?{urlencode(given, quote_via=quote)}" if given else path


def failed_alike(group: FailureGroup, **filters: str) -> str:
    """Return the address of the tasks of a group, by what it was counted by and `filters`."""
    # An empty error is one, too: of those that have no text.
    return f"{address('tasks', {'status': group.status, **filters})}&error={segment(group.alike)}"


def segment(text: str) -> str:
    """Return `text` as one segment of a path."""
    return quote(text, safe="")
