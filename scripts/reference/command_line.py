"""The command line, from its commands."""

from collections.abc import Iterator

import click

from scripts.reference.markdown import code, page, table
from watcher.cli.main import cli

INTRODUCTION = """
Every command has `--help`. Commands that call the daemon take its URL from `--url` or
`WATCHER_URL`, and the API token from `WATCHER_API_TOKEN`.
"""


def command_line() -> str:
    parts = [INTRODUCTION]
    for names, command in commands(cli, ("watcher",)):
        full_name = " ".join(names)
        context = click.Context(command, info_name=full_name)
        usage = " ".join(command.collect_usage_pieces(context))
        parts += [f"## `{full_name}`", f"```\n{full_name} {usage}\n```"]
        if command.help:
            parts.append(_prose(command.help))
        if rows := list(_parameters(command, context)):
            parts.append(table(["option", "description"], rows))
    return page("Command line reference", *parts)


def commands(
    command: click.Command, names: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield each command with its full name, without groups and hidden ones."""
    if not isinstance(command, click.Group):
        yield names, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        if inner is not None and not inner.hidden:
            yield from commands(inner, (*names, name))


def _prose(text: str) -> str:
    """Return a help text as Markdown. Blocks that click keeps as they are (\\b) become code."""
    blocks = []
    for block in text.split("\n\n"):
        if block.startswith("\b"):
            blocks.append("```\n" + block.removeprefix("\b").strip("\n") + "\n```")
        else:
            blocks.append(" ".join(block.split()))
    return "\n\n".join(blocks)


def _parameters(command: click.Command, context: click.Context) -> Iterator[list[str]]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and "--help" not in record[0]:
            yield [code(record[0]), record[1]]
