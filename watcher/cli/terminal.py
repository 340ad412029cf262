"""What the commands print: tables on a terminal, aligned text elsewhere, and nothing that could move a cursor."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

_STYLES = {
    "COMPLETED": "green",
    "COMPLETED_WITH_ERRORS": "yellow",
    "FAILED": "red",
    "CANCELED": "magenta",
    "delivered": "green",
    "failed": "red",
    "pending": "yellow",
}


def plain(value: object) -> str:
    """Return `value` on one line; control characters, which upstream text may hold, become spaces."""
    if value is None:
        return "-"
    if isinstance(value, Mapping):
        return plain(", ".join(f"{name}={content}" for name, content in value.items()) or None)
    return "".join(char if char.isprintable() else " " for char in str(value))


def style_of(text: str) -> str:
    """Return the colour that a status or a state is shown in, empty for none."""
    return _STYLES.get(text, "")


def print_table(columns: Sequence[str], items: Sequence[Mapping[str, Any]]) -> None:
    """Print `items`, one a line, with those of their fields that `columns` names."""
    rows = [[plain(item.get(column)) for column in columns] for item in items]
    if sys.stdout.isatty():
        _print_rich(columns, rows)
        return
    titles = [column.upper() for column in columns]
    widths = [max(map(len, cells)) for cells in zip(titles, *rows, strict=True)]
    for row in (titles, *rows):
        print(
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        )


def _print_rich(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=style_of(cell)) for cell in row))
    Console().print(table)


def print_json(value: object) -> None:
    """Print `value` as indented JSON."""
    import json

    print(json.dumps(value, indent=2, ensure_ascii=False))


def ago(text: str | None) -> str | None:
    """Return how long ago an RFC 3339 time was, as a table shows it."""
    from datetime import UTC, datetime

    if text is None:
        return None
    seconds = int((datetime.now(UTC) - datetime.fromisoformat(text)).total_seconds())
    sign, seconds = ("in ", -seconds) if seconds < 0 else ("", seconds)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{sign}{seconds // size}{unit}"
    return f"{sign}{seconds}s"


def cancellation(answer: Mapping[str, Any]) -> str:
    """Return what a cancelled batch's `cancellation` says, in words; that it is absent is not the same as zero."""
    counts = answer.get("cancellation")
    if not isinstance(counts, Mapping):
        return "upstream does not say whether any job was reached"
    requested, accepted, refused = (
        _total(counts, outcome) for outcome in ("requested", "accepted", "refused")
    )
    text = f"{requested} jobs asked to stop, {accepted} accepted, {refused} refused"
    return f"{text}: work may still be running" if refused else text


def _total(counts: Mapping[str, Any], outcome: str) -> int:
    """Return the sum of the counts of every kind of job, which are named `<kind>_<outcome>`."""
    return sum(
        count
        for name, count in counts.items()
        if name.endswith(f"_{outcome}") and isinstance(count, int)
    )


class Counting:
    """Shows how far a long command has come, on one line of standard error; nothing where that is no terminal."""

    def __init__(self, total: int, what: str) -> None:
        self._total = total
        self._what = what
        self._shown = False

    def __enter__(self) -> "Counting":
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            print(file=sys.stderr)

    def reached(self, count: int) -> None:
        """Show that `count` are done."""
        if sys.stderr.isatty():
            self._shown = True
            print(f"\r{count} of {self._total} {self._what}", end="", file=sys.stderr, flush=True)
