"""Output of the commands: tables on a terminal, aligned text elsewhere, no control characters."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from watcher.cli.checks import Verdict

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
    """Return `value` on one line; control characters of upstream's text become spaces."""
    if value is None:
        return "-"
    if isinstance(value, Mapping):
        return plain(", ".join(f"{name}={content}" for name, content in value.items()) or None)
    return "".join(char if char.isprintable() else " " for char in str(value))


def style_of(text: str) -> str:
    """Return the colour of a status or a state, or nothing."""
    return _STYLES.get(text, "")


def print_table(columns: Sequence[str], items: Sequence[Mapping[str, Any]]) -> None:
    """Print `items`, one per line, with the fields that `columns` names."""
    rows = [[plain(item.get(column)) for column in columns] for item in items]
    if sys.stdout.isatty():
        _print_rich(columns, rows)
        return
    titles = [column.upper() for column in columns]
    widths = [max(map(len, cells)) for cells in zip(titles, *rows, strict=True)]
    lines = (
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (titles, *rows)
    )
    click.echo("\n".join(lines))


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


def print_verdicts(verdicts: Sequence["Verdict"]) -> None:
    """Print the result of each check; exit 1 if one failed."""
    for verdict in verdicts:
        mark = click.style("ok", fg="green") if verdict.good else click.style("failed", fg="red")
        click.echo(f"{verdict.name}: {mark}: {verdict.text}")
    if not all(verdict.good for verdict in verdicts):
        sys.exit(1)


def print_json(value: object) -> None:
    """Print `value` as indented JSON."""
    import json

    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def ago(text: str | None) -> str | None:
    """Return how long ago an RFC 3339 time was, such as `5m`."""
    from datetime import UTC, datetime

    if text is None:
        return None
    seconds = int((datetime.now(UTC) - datetime.fromisoformat(text)).total_seconds())
    sign, seconds = ("in ", -seconds) if seconds < 0 else ("", seconds)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{sign}{seconds // size}{unit}"
    return f"{sign}{seconds}s"


def cancellation(response: Mapping[str, Any]) -> str:
    """Describe the `cancellation` of a canceled batch; without it, the result is unknown, not 0."""
    counts = response.get("cancellation")
    if not isinstance(counts, Mapping):
        return "upstream did not report whether jobs were canceled"
    requested, accepted, rejected = (
        _total(counts, outcome) for outcome in ("requested", "accepted", "refused")
    )
    text = f"{requested} cancellations requested, {accepted} accepted, {rejected} rejected"
    return f"{text}: work may still be running" if rejected else text


def _total(counts: Mapping[str, Any], outcome: str) -> int:
    """Return the sum of the counts of every kind of job, which are named `<kind>_<outcome>`."""
    return sum(
        count
        for name, count in counts.items()
        if name.endswith(f"_{outcome}") and isinstance(count, int)
    )


class Counting:
    """Shows the progress of a long command on one line of standard error, on a terminal only."""

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
