"""What the commands that talk to a daemon have in common."""

import os
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from watcher.client import Client

DEFAULT_URL = "http://127.0.0.1:8080"

url_option = click.option(
    "--url", envvar="WATCHER_URL", default=DEFAULT_URL, show_default=True, help="Where the daemon's API is."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def client_at(url: str) -> "Client":
    """Return the way to the daemon at `url`."""
    from watcher.client import Client

    return Client(url, token())


def token() -> str | None:
    """Return the token that the daemon wants, if the environment has it."""
    return os.environ.get("WATCHER_API_TOKEN")
