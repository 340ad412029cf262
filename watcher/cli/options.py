"""What several commands have in common."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from watcher.cli.client import Client

DEFAULT_URL = "http://127.0.0.1:8080"

url_option = click.option(
    "--url",
    envvar="WATCHER_URL",
    default=DEFAULT_URL,
    show_default=True,
    help="Where the daemon's API is.",
)
config_option = click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    help="The configuration; default WATCHER_CONFIG, else /etc.",
)
label_option = click.option(
    "--label", "labels", multiple=True, metavar="K=V", help="May be repeated."
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask first.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def client_at(url: str) -> "Client":
    """Return the way to the daemon at `url`."""
    from watcher.cli.client import Client

    return Client(url, token())


def token() -> str | None:
    """Return the token that the daemon wants, if the environment has it."""
    return os.environ.get("WATCHER_API_TOKEN")


def labels_of(given: Sequence[str]) -> dict[str, str]:
    """Return what `--label K=V` says, however often it was given."""
    labels = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--label {text!r} is not K=V")
        labels[name] = value
    return labels


def ask_first(question: str, yes: bool) -> None:
    """Ask a person at a terminal whether to go on, and stop where the answer is no."""
    if not yes and sys.stdin.isatty():
        click.confirm(question, abort=True)
