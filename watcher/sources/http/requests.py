"""The requests of a source: one task, and the pages of its list.

The token goes to the host of `base_url` only: a next page at another host is rejected.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit

import msgspec

from watcher.core.errors import SourceError
from watcher.net.exchange import Reply
from watcher.sources._calls import Call
from watcher.sources._errors import UNREADABLE, protocol_error
from watcher.sources.http.pages import Page
from watcher.sources.http.setting_types import IDS, ListSettings
from watcher.sources.http.settings import Settings
from watcher.sources.http.templates import target

PAGE_BYTES = 16 * 1024 * 1024
"""Bytes read of a page."""
_LONGEST_CURSOR = 4000
"""Characters: servers accept URLs of 8 KB."""
_LINK = re.compile(r'<([^<>]{1,4000})>((?:\s*;\s*[\w-]+\s*=\s*(?:"[^"]*"|[^",;\s]*))*)')
_RELATION = re.compile(r';\s*rel\s*=\s*"?([^",;]*)"?')


class Position(msgspec.Struct, frozen=True):
    """A page of a list: `value` is the cursor, or the target of a URL; None for the first page.

    `number` pages and `offset` items are before it.
    """

    value: str | None = None
    number: int = 0
    offset: int = 0

    def cursor(self) -> str:
        """Return the position as text."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def of(cls, cursor: str | None) -> "Position":
        """Return the position that a text describes. Raises `ValueError` for any other text."""
        if cursor is None:
            return cls()
        try:
            return msgspec.json.decode(cursor, type=cls)
        except UNREADABLE:
            raise ValueError("not a cursor of this source") from None


class GetRequests:
    """The requests for single tasks."""

    def __init__(self, settings: Settings) -> None:
        self.form = settings.id_form
        self._path, _, self._query = (settings.get or "").partition("?")
        self.route = f"GET {self._path}"

    def call(self, task_id: str) -> Call:
        """Return the request for a task. Raises `ValueError` for an ID that it cannot be about."""
        values = self.form.values(task_id)
        path, query = target(self._path, values), target(self._query, values)
        return Call(route=self.route, path=path, query_text=query)


class ListRequests:
    """The requests for the pages of a list."""

    def __init__(self, settings: Settings, listed: ListSettings) -> None:
        self._path, _, self._query = listed.target.partition("?")
        self._base_url = settings.base_url or ""
        self._vars = settings.vars
        self._listed = listed
        self.route = f"{'GET' if listed.post is None else 'POST'} {self._path}"

    def call(self, position: Position, task_ids: Sequence[str] = ()) -> Call:
        """Return the request for a page; of these tasks, if the list is by IDs."""
        following = self._listed.next
        ids = ",".join(quote(task_id, safe="") for task_id in task_ids)
        query = target(self._query.replace(f"{{{IDS}}}", "\0"), self._vars).replace("\0", ids)
        path, origin, paging = target(self._path, self._vars), None, dict[str, Any]()
        if following is not None and position.number:
            if following.url is not None or following.link is not None:
                split = urlsplit(position.value or "")
                origin, path, query = self._origin(), split.path, split.query
            elif following.param is not None:
                paging = {following.param: position.value}
            elif following.offset is not None:
                paging = {following.offset: position.offset}
            elif following.page is not None:
                paging = {following.page: position.number + 1}
        body = None
        if self._listed.post is not None:
            body = {**_with_ids(self._listed.body or {}, list(task_ids)), **paging}
        elif paging:
            query = _with_parameters(query, paging)
        return Call(
            route=self.route,
            path=path,
            query_text=query,
            body=body,
            origin=origin,
            reply_limit=PAGE_BYTES,
        )

    def after(self, position: Position, page: Page, reply: Reply) -> Position | None:
        """Return the position of the next page; None at the end of the list.

        Raises `SourceError` (protocol) if it is at another host.
        """
        following = self._listed.next
        if following is None or not page.count or page.more is False:
            return None
        if following.size is not None and page.count < following.size:
            return None
        value = page.cursor
        if following.url is not None:
            value = None if page.url is None else self._target(page.url)
        elif following.link is not None:
            link = link_of(reply.headers, following.link)
            value = None if link is None else self._target(link)
        counted = following.offset is not None or following.page is not None
        if not counted and (not value or value == position.value or len(value) > _LONGEST_CURSOR):
            return None
        return Position(
            value=None if counted else value,
            number=position.number + 1,
            offset=position.offset + page.count,
        )

    def _target(self, link: str) -> str:
        """Return path and query of a link to a page, which is at the host of the base URL."""
        try:
            split = urlsplit(urljoin(f"{self._base_url}{self._path}", link))
            same = (split.scheme, split.netloc) == urlsplit(self._base_url)[:2]
        except ValueError:
            raise protocol_error("the next page has no valid URL") from None
        if not same:
            raise _other_host(split.hostname)
        return f"{split.path}?{split.query}" if split.query else split.path

    def _origin(self) -> str:
        scheme, netloc = urlsplit(self._base_url)[:2]
        return f"{scheme}://{netloc}"


def link_of(headers: Mapping[str, str], relation: str) -> str | None:
    """Return the target of the `Link` header with this relation."""
    for match in _LINK.finditer(headers.get("link", "")[:16_000]):
        relations = _RELATION.search(match[2])
        if relations is not None and relation in relations[1].split():
            return match[1]
    return None


def _other_host(host: str | None) -> SourceError:
    shown = f" ({host[:100]})" if host else ""
    return protocol_error(
        f"the next page of the list is at another host{shown}, which does not get the token"
    )


def _with_parameters(query: str, added: Mapping[str, Any]) -> str:
    pairs = [pair for pair in parse_qsl(query, keep_blank_values=True) if pair[0] not in added]
    return urlencode([*pairs, *added.items()])


def _with_ids(value: Any, task_ids: Sequence[str]) -> Any:
    """Return a body with the IDs in the place of their variable."""
    if isinstance(value, Mapping):
        return {key: _with_ids(member, task_ids) for key, member in value.items()}
    if isinstance(value, list):
        return [_with_ids(member, task_ids) for member in value]
    return task_ids if value == f"{{{IDS}}}" else value
