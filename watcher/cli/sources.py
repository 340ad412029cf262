"""`watcher sources`: what a source returns."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from watcher.cli.options import config_option, json_option, load_settings
from watcher.cli.terminal import plain, print_json, say

if TYPE_CHECKING:
    from watcher.core.interfaces.source import Explanation
    from watcher.core.settings import Settings


@click.group()
def sources() -> None:
    """Test the sources of the configuration."""


@sources.command("test")
@click.argument("name")
@click.argument("task_id", metavar="TASK_ID")
@config_option
@json_option
def test_source(name: str, task_id: str, config: Path | None, as_json: bool) -> None:
    """Poll one task now, and print what is extracted.

    For status, type and error: the value, and the path in upstream's answer that it is from. For a
    source of type http also what each path and rule found, what the headers say about the request
    budget, the event that would follow, and what the list shows. Exits 1 if the source fails, or
    does not know the task.
    """
    from watcher.cli import task_fetch
    from watcher.core.errors import SourceError
    from watcher.core.interfaces.source import Explanation
    from watcher.core.texts import check_id

    settings = load_settings(config)
    known = {source.name: source for source in settings.sources}
    if name not in known:
        raise click.UsageError(f"unknown source {name!r}; expected one of: {', '.join(known)}")
    try:
        answer = task_fetch.fetch(known[name], check_id(task_id))
    except ValueError as error:
        raise click.UsageError(f"invalid task ID: {error}") from None
    except SourceError as error:
        raise click.ClickException(f"source {name}: {error}") from None
    if isinstance(answer, Explanation):
        _print_explanation(answer, settings, name, as_json=as_json)
        fields = task_fetch.extracted(answer.answer)
    else:
        fields = task_fetch.extracted(answer)
    if fields is None:
        raise click.ClickException(f"source {name} does not know the task {task_id!r} (404)")
    if not isinstance(answer, Explanation):
        _print_fields(fields, as_json=as_json)
    if fields["status"]["value"] is None:
        sys.exit(1)


def _print_explanation(
    found: "Explanation", settings: "Settings", source: str, *, as_json: bool
) -> None:
    from watcher.cli import explained

    shown = explained.record(found, settings, source)
    if as_json:
        print_json(shown)
        return
    for line in explained.lines(shown):
        say(line)


def _print_fields(fields: Mapping[str, Mapping[str, str | None]], *, as_json: bool) -> None:
    if as_json:
        print_json(fields)
        return
    for field, shown in fields.items():
        say(f"{field + ':':<8} {_described(shown)}")


def _described(shown: Mapping[str, str | None]) -> str:
    value = shown["value"]
    if value is None:
        return plain(shown.get("why"))
    text = plain(value)
    upstream = shown.get("upstream")
    if upstream not in (None, value):
        text += f" (upstream: {plain(upstream)})"
    return f"{text}  from {plain(shown['from'])}" if shown["from"] else f"{text}  derived"
