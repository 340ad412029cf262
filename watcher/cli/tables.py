"""Lists as they are printed: rows of a table, or items of a JSON array, as soon as they arrive.

A list may have hundreds of thousands of items, page after page. On a terminal, texts are cut to its
width; IDs are whole, so that they can be copied. What a program reads is never cut.
"""

import json
import shutil
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice, repeat
from typing import Any

from watcher.cli.fitting import fit
from watcher.cli.terminal import Coloured, Part, is_terminal, plain, print_json_text, say_all

FIRST_PAGE, PAGE = 100, 1000
"""Items that are requested and printed at once: fewer at first, so that they are seen soon."""

_STYLES = {
    "COMPLETED": "green",
    "COMPLETED_WITH_ERRORS": "yellow",
    "FAILED": "red",
    "CANCELED": "magenta",
    "delivered": "green",
    "failed": "red",
    "pending": "yellow",
}

Item = Mapping[str, Any]


def style_of(text: str) -> str:
    """Return the colour of a status or a state, or nothing."""
    return _STYLES.get(text, "")


def print_table(
    columns: Sequence[str], items: Iterable[Item], *, optional: Sequence[str] = ()
) -> None:
    """Print `items`, one per line, with the fields that `columns` names.

    The columns are as wide as the items need that have arrived so far. A terminal that is too
    narrow gets shorter texts, then a table without the `optional` columns, in their order.
    """
    titles = {name: name.replace("_", " ") if is_terminal() else name.upper() for name in columns}
    widths = {name: len(title) for name, title in titles.items()}
    heading = [titles]
    for part in _parts(items):
        rows = [{name: plain(item.get(name)) for name in columns} for item in part]
        widths = {
            name: max(width, *(_width(row[name]) for row in rows)) for name, width in widths.items()
        }
        fitted = _fitted(widths, optional)
        say_all(_lines(heading, rows, fitted))
        heading = []
    if heading:
        say_all(_lines(heading, [], _fitted(widths, optional)))


def print_items(items: Iterable[Item]) -> None:
    """Print `items` as one indented JSON array."""
    before = "["
    for part in _parts(items):
        text = json.dumps(part, indent=2, ensure_ascii=False)
        print_json_text(f"{before}\n{text[2:-2]}", end="")
        before = ","
    print_json_text("[]" if before == "[" else "\n]")


def _parts(items: Iterable[Item]) -> Iterator[Sequence[Item]]:
    rest = iter(items)
    for size in chain([FIRST_PAGE], repeat(PAGE)):
        part = list(islice(rest, size))
        if not part:
            return
        yield part


def _fitted(widths: Mapping[str, int], optional: Sequence[str]) -> Mapping[str, int]:
    return fit(widths, shutil.get_terminal_size().columns, optional) if is_terminal() else widths


def _lines(
    heading: Sequence[Mapping[str, str]],
    rows: Sequence[Mapping[str, str]],
    widths: Mapping[str, int],
) -> Iterator[Iterator[Part]]:
    for titles in heading:
        yield (Coloured(text, bold=True) for text in _padded(titles, widths))
    for row in rows:
        yield (Coloured(text, style_of(text.rstrip())) for text in _padded(row, widths))


def _padded(cells: Mapping[str, str], widths: Mapping[str, int]) -> Iterator[str]:
    """Yield the cells, each but the last as wide as its column and two spaces."""
    *first, last = widths
    for name in first:
        cell = _cut(cells[name], widths[name])
        yield cell + " " * (widths[name] - _width(cell) + 2)
    yield _cut(cells[last], widths[last])


def _cut(text: str, width: int) -> str:
    """Return `text`, with an ellipsis as its last character if it is wider than `width`."""
    if _width(text) <= width:
        return text
    kept = list(text)
    while kept and _width("".join(kept)) >= width:
        kept.pop()
    return "".join(kept) + "…"


def _width(text: str) -> int:
    """Return the columns that visible text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )
