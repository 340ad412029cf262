"""One request to an API: the call of a source, and the HTTP request it becomes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import httpx
import msgspec

from watcher.net.headers import USER_AGENT
from watcher.net.transport import SENT_ONCE

REPLY_LIMIT = 4 * 1024 * 1024
"""Bytes read of a reply that is not a page."""

_CACHED_LENGTH = 256
"""Characters of the longest text of a URL that is kept parsed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request. `route` is the template that upstream counts by; `path` begins with a slash.

    `query_text` is an encoded query, beside `query`. `origin` replaces the base URL: scheme, host
    and port. `once` is for requests that must not be repeated: the transport does not send them
    again where a connection breaks.
    """

    route: str
    path: str
    query: Mapping[str, str | int] = field(default_factory=dict)
    query_text: str = ""
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    origin: str | None = None
    reply_limit: int = REPLY_LIMIT
    once: bool = False

    @property
    def method(self) -> str:
        return self.route.partition(" ")[0]


class RequestBuilder:
    """Builds the HTTP requests of one source. `headers` are sent with each."""

    def __init__(self, base_url: str, headers: Mapping[str, str]) -> None:
        self._base_url = base_url
        self._headers = {
            "accept": "application/json",
            "accept-encoding": "identity",
            "user-agent": USER_AGENT,
            **headers,
        }

    def url(self, call: Call) -> str:
        """Return the URL of a call, without `Call.query`."""
        base = self._base_url if call.origin is None else call.origin
        return f"{base}{call.path}?{call.query_text}" if call.query_text else base + call.path

    def build(self, call: Call) -> httpx.Request:
        """Return the request of a call.

        Raises `httpx.InvalidURL` or `ValueError` where the URL cannot be written, or would lead to
        another path; whatever the JSON encoder or the HTTP library raises for a body or a header.
        """
        headers = {**self._headers, **call.headers}
        content = None
        if call.body is not None:
            headers["content-type"] = "application/json"
            content = msgspec.json.encode(call.body)
        url = _url(self.url(call), tuple(call.query.items()))
        if not url.raw_path.partition(b"?")[0].endswith(call.path.encode()):
            raise ValueError("the client resolves the path to another one")
        extensions = {SENT_ONCE: True} if call.once else {}
        return httpx.Request(
            call.method, url, headers=headers, content=content, extensions=extensions
        )


def _url(base: str, query: tuple[tuple[str, str | int], ...]) -> httpx.URL:
    """Return a URL from the cache: parsing costs more than the rest of building a request.

    A cursor is used once and can be long, so it is not kept.
    """
    values = (value for _, value in query if isinstance(value, str))
    if len(base) > _CACHED_LENGTH or any(len(value) > _CACHED_LENGTH for value in values):
        return _parsed_url.__wrapped__(base, query)
    return _parsed_url(base, query)


@lru_cache(maxsize=256)
def _parsed_url(base: str, query: tuple[tuple[str, str | int], ...]) -> httpx.URL:
    return httpx.URL(base, params=dict(query)) if query else httpx.URL(base)
