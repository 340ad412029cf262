"""Help texts: complete, and short enough for one line in a list of commands."""

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from watcher.cli.grouped import GROUPS as GROUPED
from watcher.cli.main import cli


def walk(command: click.Command, *names: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield names, command
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from walk(inner, *names, name)


COMMANDS = list(walk(cli))
GROUPS = [names for names, command in COMMANDS if isinstance(command, click.Group)]


@pytest.mark.parametrize("names", GROUPS)
def test_each_command_has_a_whole_sentence_in_its_list(names: tuple[str, ...]) -> None:
    done = CliRunner().invoke(cli, [*names, "--help"], terminal_width=80)
    assert done.exit_code == 0
    assert "..." not in done.output.partition("--help")[2]


def test_the_help_lists_every_command_once_in_a_group() -> None:
    listed = [name for names in GROUPED.values() for name in names]
    assert sorted(listed) == sorted(cli.commands)
    help_text = CliRunner().invoke(cli, ["--help"], terminal_width=80).output
    lines = help_text.splitlines()
    assert [line.removesuffix(":") for line in lines if f"{line.removesuffix(':')}" in GROUPED] == [
        *GROUPED
    ]
    assert all(any(line.startswith(f"  {name} ") for line in lines) for name in listed)
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(("names", "command"), COMMANDS)
def test_each_option_is_described(names: tuple[str, ...], command: click.Command) -> None:
    context = click.Context(command)
    for parameter in command.get_params(context):
        if isinstance(parameter, click.Option):
            record = parameter.get_help_record(context)
            assert record is not None, (names, parameter.name)
            assert record[1], (names, parameter.name)


@pytest.mark.parametrize(("names", "command"), COMMANDS)
def test_each_command_has_help(names: tuple[str, ...], command: click.Command) -> None:
    assert command.help, names
    assert command.help[0].isupper(), names
