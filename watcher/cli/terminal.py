"""Output of the commands: lines, tables on a terminal, aligned text elsewhere, JSON.

Whatever is printed comes from here. Text from outside is one line, with escapes in place of what is
not visible, and has a bound; `--json` has all of it.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from watcher.cli.streams import unguarded
from watcher.core.texts import cut, is_shown, visible, visible_json, visible_lines

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
_LINE_LIMIT = 4096
_CELL_LIMIT = 1024
"""Characters that are shown of one value."""


class Coloured(NamedTuple):
    """A part of a line, in a colour where the stream is a terminal."""

    text: str
    colour: str


def say(*parts: str | Coloured, err: bool = False) -> None:
    """Print one line, to standard error if `err`."""
    shown = "".join(
        click.style(_shown(part.text), fg=part.colour)
        if isinstance(part, Coloured)
        else _shown(part)
        for part in parts
    )
    click.echo(shown, file=unguarded(err))


def say_lines(text: str, *, err: bool = False) -> None:
    """Print text of our own that has several lines, such as help."""
    click.echo(visible_lines(text), file=unguarded(err))


def overwrite(text: str, *, end: bool = False) -> None:
    """Print `text` over the last line of standard error; `end` ends that line."""
    click.echo(f"\r{_shown(text)}", file=unguarded(err=True), nl=end)


def is_terminal(*, err: bool = False) -> bool:
    """Return whether the stream is a terminal."""
    return unguarded(err).isatty()


def plain(value: object) -> str:
    """Return `value` on one line, with escapes in place of what is not visible."""
    if value is None:
        return "-"
    if isinstance(value, Mapping):
        return plain(", ".join(f"{name}={content}" for name, content in value.items()) or None)
    return visible(cut(str(value), _CELL_LIMIT))


def style_of(text: str) -> str:
    """Return the colour of a status or a state, or nothing."""
    return _STYLES.get(text, "")


def print_table(columns: Sequence[str], items: Sequence[Mapping[str, Any]]) -> None:
    """Print `items`, one per line, with the fields that `columns` names."""
    rows = [[plain(item.get(column)) for column in columns] for item in items]
    if is_terminal():
        _print_rich(columns, rows)
        return
    titles = [column.upper() for column in columns]
    widths = [max(map(len, cells)) for cells in zip(titles, *rows, strict=True)]
    for row in (titles, *rows):
        cells = zip(row, widths, strict=True)
        say_lines("  ".join(f"{cell:<{width}}" for cell, width in cells).rstrip())


def _print_rich(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from watcher.cli.console import GuardedConsole

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=style_of(cell)) for cell in row))
    GuardedConsole().print(table)


def print_verdicts(verdicts: Sequence["Verdict"]) -> None:
    """Print the result of each check; exit 1 if one failed."""
    for verdict in verdicts:
        mark = Coloured("ok", "green") if verdict.good else Coloured("failed", "red")
        say(f"{verdict.name}: ", mark, f": {verdict.text}")
    if not all(verdict.good for verdict in verdicts):
        sys.exit(1)


def print_json(value: object) -> None:
    """Print `value` as indented JSON."""
    import json

    click.echo(visible_json(json.dumps(value, indent=2, ensure_ascii=False)), file=unguarded())


def print_yaml(value: object) -> None:
    """Print `value` as YAML."""
    import yaml

    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    if not is_shown(text.replace("\n", "")):
        text = yaml.safe_dump(value, sort_keys=False, allow_unicode=False)
    say_lines(text.removesuffix("\n"))


def ago(text: str | None) -> str | None:
    """Return how long ago an RFC 3339 time was, such as `5m`."""
    from datetime import UTC, datetime

    if text is None:
        return None
    return span((datetime.now(UTC) - datetime.fromisoformat(text)).total_seconds())


def span(duration: float) -> str:
    """Return a number of seconds such as `5m`; one that is to come as `in 5m`."""
    seconds = int(duration)
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
            say(err=True)

    def reached(self, count: int) -> None:
        """Show that `count` are done."""
        if is_terminal(err=True):
            self._shown = True
            overwrite(f"{count} of {self._total} {self._what}")


def _shown(text: str) -> str:
    return visible(cut(text, _LINE_LIMIT))
