"""Output of the commands: lines, JSON, YAML, progress. `tables` prints lists.

Whatever is printed comes from here. Text from outside is one line, with escapes in place of what is
not visible, and has a bound; `--json` has all of it.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from watcher.cli.streams import unguarded
from watcher.core.texts import cut, is_shown, visible, visible_json, visible_lines

if TYPE_CHECKING:
    from watcher.cli.checks import CheckResult

_LINE_LIMIT = 4096
_CELL_LIMIT = 1024
"""Characters that are shown of one value."""


class Coloured(NamedTuple):
    """A part of a line, in a colour or bold where the stream is a terminal."""

    text: str
    colour: str = ""
    bold: bool = False


Part = str | Coloured


def say(*parts: Part, err: bool = False) -> None:
    """Print one line, to standard error if `err`."""
    click.echo("".join(map(_styled, parts)), file=unguarded(err))


def say_all(lines: Iterable[Iterable[Part]]) -> None:
    """Print many lines at once."""
    text = "\n".join("".join(map(_styled, parts)) for parts in lines)
    click.echo(text, file=unguarded())


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
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return plain(", ".join(f"{name}={content}" for name, content in value.items()) or None)
    return visible(cut(str(value), _CELL_LIMIT))


def print_results(results: Sequence["CheckResult"]) -> None:
    """Print the result of each check; exit 1 if one failed."""
    for result in results:
        mark = Coloured("ok", "green") if result.good else Coloured("failed", "red")
        say(f"{result.name}: ", mark, f": {result.text}")
    if not all(result.good for result in results):
        sys.exit(1)


def print_json(value: object) -> None:
    """Print `value` as indented JSON."""
    import json

    print_json_text(json.dumps(value, indent=2, ensure_ascii=False))


def print_json_text(text: str, *, end: str = "\n") -> None:
    """Print JSON, or a part of it, as it is, with escapes in its strings."""
    click.echo(visible_json(text) + end, file=unguarded(), nl=False)


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


def _styled(part: Part) -> str:
    if isinstance(part, str):
        return _shown(part)
    shown = _shown(part.text)
    if not (part.colour or part.bold):
        return shown
    return click.style(shown, fg=part.colour or None, bold=part.bold or None)


def _shown(text: str) -> str:
    return visible(cut(text, _LINE_LIMIT))
