"""Decoding the pages of a list. An item that cannot be decoded does not spoil its page.

A page that strict decoding accepts costs one pass, straight into what is compared. Any other is
split at its commas, and each item is decoded alone, repaired where necessary.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

import anyio.lowlevel
import msgspec

from watcher.core.json_repair import elements, members, repaired
from watcher.core.tasks import Shown
from watcher.net.exchange import Reply
from watcher.sources._errors import UNREADABLE, protocol_error
from watcher.sources.http.items import ItemDetails, ItemReader
from watcher.sources.http.paths import Path, parse_path, text_of
from watcher.sources.http.setting_types import ListSettings
from watcher.sources.http.shapes import Getter, Shape

_MAX_BLOCKING = 0.01
"""Seconds that decoding may occupy the event loop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page: its tasks, how many items it has, and what it says about the next one.

    `more` is None where the page does not say whether there is a next one.
    """

    tasks: Sequence[Shown]
    count: int
    cursor: str | None
    url: str | None
    more: bool | None


class _Envelope:
    """What surrounds the items of a page: decoded with the items as `item`, each."""

    def __init__(self, items: Path, paths: Sequence[Path], item: Any) -> None:
        kind = Optional[list[item]]  # noqa: UP045  # the item's type is a value
        self._items: Getter | None = None
        self._paths: Mapping[Path, Getter] = {}
        self._decode: Callable[[bytes], Any]
        if items:
            shape = Shape(paths, {items: kind})
            self._items = shape.getter(items)
            self._paths = {path: shape.getter(path) for path in paths}
            self._decode = msgspec.json.Decoder(shape.type).decode
        else:
            self._decode = msgspec.json.Decoder(list[item]).decode

    def decode(self, body: bytes) -> tuple[Any, Sequence[Any]]:
        """Return what was decoded, and the items in it; an absent list is empty."""
        whole: Any = self._decode(body)
        return whole, whole if self._items is None else self._items(whole) or ()

    def value(self, whole: Any, path: Path | None) -> object:
        return None if path is None or path not in self._paths else self._paths[path](whole)


class PageDecoder:
    """Reads the pages of one list."""

    def __init__(self, listed: ListSettings, items: ItemReader) -> None:
        following = listed.next
        self._reader = items
        self._items = () if listed.items is None else parse_path(listed.items)
        self._cursor = _path(None if following is None else following.cursor)
        self._url = _path(None if following is None else following.url)
        self._more = _path(None if following is None else following.while_)
        paths = [path for path in (self._cursor, self._url, self._more) if path is not None]
        self._fast = _Envelope(self._items, paths, items.shape.type)
        self._raw = _Envelope(self._items, paths, msgspec.Raw)
        self._decode_item = msgspec.json.Decoder(items.shape.type).decode

    async def read(self, reply: Reply) -> Page:
        """Return the page of a reply. Raises `SourceError` (protocol) if it is none."""
        await anyio.lowlevel.checkpoint()
        try:
            whole, records = self._fast.decode(reply.body)
        except UNREADABLE:
            return await self._read_split(reply)
        return self._page(self._fast, whole, len(records), self._shown(reply.body, records))

    def _shown(self, body: bytes, records: Sequence[Any]) -> Sequence[Shown]:
        reader = self._reader
        details = ItemDetails(reader.language, _RawItems(body, self._fast, self._raw, reader).of)
        id_of, item = reader.id_of, reader.item
        return [
            item(record, task_id, details)
            for record in records
            if (task_id := id_of(record)) is not None
        ]

    async def _read_split(self, reply: Reply) -> Page:
        """Read a page of which an item, or something beside the items, is not JSON."""
        try:
            rest, listed = _split(reply.body, self._items)
            items = elements(listed) if listed.strip() not in (b"", b"null") else ()
            whole = self._raw.decode(repaired(rest)[0])[0] if self._items else None
        except UNREADABLE:
            raise protocol_error("the answer is not the JSON of a list", reply) from None
        tasks: list[Shown] = []
        began = time.perf_counter()
        for raw in items:
            tasks += self._decoded(raw)
            if time.perf_counter() - began > _MAX_BLOCKING:
                await anyio.lowlevel.checkpoint()
                began = time.perf_counter()
        return self._page(self._raw, whole, len(items), tasks)

    def _decoded(self, raw: bytes) -> Iterator[Shown]:
        """Yield the task of an item, if it is one."""
        try:
            try:
                record = self._decode_item(raw)
            except UNREADABLE:
                record = self._decode_item(repaired(raw)[0])
        except UNREADABLE:
            return
        if (task_id := self._reader.id_of(record)) is not None:
            details = ItemDetails(self._reader.language, lambda _: raw)
            yield self._reader.item(record, task_id, details)

    def _page(self, envelope: _Envelope, whole: Any, count: int, tasks: Sequence[Shown]) -> Page:
        more = envelope.value(whole, self._more)
        return Page(
            tasks=tasks,
            count=count,
            cursor=text_of(envelope.value(whole, self._cursor)),
            url=text_of(envelope.value(whole, self._url)),
            more=None if self._more is None else more is True,
        )


class _RawItems:
    """The bytes of a page's items by ID, which are separated on first use."""

    def __init__(self, body: bytes, fast: _Envelope, raw: _Envelope, reader: ItemReader) -> None:
        self._body = body
        self._fast = fast
        self._raw = raw
        self._reader = reader
        self._by_id: Mapping[str, bytes] | None = None

    def of(self, task_id: str) -> bytes:
        if self._by_id is None:
            records, items = self._fast.decode(self._body)[1], self._raw.decode(self._body)[1]
            shown = zip(map(self._reader.id_of, records), items, strict=True)
            self._by_id = {found: bytes(item) for found, item in shown if found is not None}
        return self._by_id[task_id]


def _path(text: str | None) -> Path | None:
    return None if text is None else parse_path(text)


def _split(body: bytes, items: Path) -> tuple[bytes, bytes]:
    """Return an answer with null for its items, and the items. Raises `ValueError`."""
    if not items:
        return b"null", body
    name = str(items[0])
    found = dict(members(body))
    rest, listed = _split(found.get(name, b"null"), items[1:]) if name in found else (b"null", b"")
    found[name] = rest
    encoded = (msgspec.json.encode(key) + b":" + value for key, value in found.items())
    return b"{" + b",".join(encoded) + b"}", listed
