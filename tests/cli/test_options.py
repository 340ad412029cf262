"""Options that several commands share."""

import re
from collections.abc import Iterator
from io import StringIO

import click
import pytest

from tests.cli.harness import Terminal
from watcher.cli.main import cli
from watcher.cli.options import confirm, duration, labels_of, moment


def test_labels_may_contain_equals_signs_and_be_empty() -> None:
    assert labels_of(["team=search", "query=a=b", "empty="]) == {
        "team": "search",
        "query": "a=b",
        "empty": "",
    }


@pytest.mark.parametrize(
    ("text", "seconds"), [(None, None), ("90s", 90.0), ("2h", 7200.0), ("500ms", 0.5)]
)
def test_durations(text: str | None, seconds: float | None) -> None:
    assert duration(text) == seconds


def test_a_moment_is_a_time_or_how_long_ago() -> None:
    assert moment("2026-11-23T07:00:00Z") == "2026-11-23T07:00:00Z"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", moment("2h"))
    for text in ("soon", "yesterday", "2026-11-23T07:00:00", "25:00", "", "99999999d", "-1h"):
        with pytest.raises(click.UsageError, match=f"invalid time '{text}'; expected RFC 3339"):
            moment(text)


@pytest.mark.parametrize(("reply", "aborts"), [("y\n", False), ("n\n", True), ("\n", True)])
def test_a_terminal_prompts_before_a_permanent_action(
    monkeypatch: pytest.MonkeyPatch, reply: str, aborts: bool
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(reply))
    if aborts:
        with pytest.raises(click.Abort):
            confirm("Delete?", yes=False)
    else:
        confirm("Delete?", yes=False)


def test_yes_skips_the_prompt_and_a_script_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    confirm("Delete?", yes=True)
    for stdin in (StringIO("y\n"), None):
        monkeypatch.setattr("sys.stdin", stdin)
        confirm("Delete?", yes=True)
        with pytest.raises(click.UsageError, match="set --yes"):
            confirm("Delete?", yes=False)


def commands(group: click.Group) -> Iterator[click.Command]:
    for command in group.commands.values():
        if isinstance(command, click.Group):
            yield from commands(command)
        else:
            yield command


def test_every_command_for_a_daemon_finds_it_by_its_configuration_too() -> None:
    options = {
        command.name: {name for option in command.params for name in option.opts}
        for command in commands(cli)
    }
    for_daemon = {name: found for name, found in options.items() if "--url" in found}
    assert len(for_daemon) > 15
    assert all({"-c", "--config"} <= found for found in for_daemon.values())
