"""Lists as they are printed: rows of a table, or items of a JSON array, as soon as they arrive.

A list may have hundreds of thousands of items, page after page. No cell is folded or cut to the
width of a terminal: an ID can be copied as it is.
"""

import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice, repeat
from typing import Any

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


def print_table(columns: Sequence[str], items: Iterable[Item]) -> None:
    """Print `items`, one per line, with the fields that `columns` names.

    The columns are as wide as the items need that have arrived so far.
    """
    titles = [column.replace("_", " ") if is_terminal() else column.upper() for column in columns]
    widths = [len(title) for title in titles]
    heading: list[list[str]] = [titles]
    for part in _parts(items):
        rows = [[plain(item.get(column)) for column in columns] for item in part]
        cells = zip(widths, *rows, strict=True)
        widths = [max(width, *map(_width, texts)) for width, *texts in cells]
        say_all(_lines(heading, rows, widths))
        heading = []
    if heading:
        say_all(_lines(heading, [], widths))


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


def _lines(
    heading: Sequence[Sequence[str]], rows: Sequence[Sequence[str]], widths: Sequence[int]
) -> Iterator[Iterator[Part]]:
    for titles in heading:
        yield (Coloured(text, bold=True) for text in _padded(titles, widths))
    for row in rows:
        yield (Coloured(text, style_of(text.rstrip())) for text in _padded(row, widths))


def _padded(cells: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    """Yield the cells, each but the last as wide as its column and two spaces."""
    *first, last = cells
    for cell, width in zip(first, widths, strict=False):
        yield cell + " " * (width - _width(cell) + 2)
    yield last


def _width(text: str) -> int:
    """Return the columns that visible text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )
