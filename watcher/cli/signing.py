"""`watcher sign` and `watcher verify`: for whoever writes a receiver and wonders why it refuses."""

import os
import sys
from collections.abc import Sequence
from typing import BinaryIO, TextIO

import click

from watcher.cli.options import json_option

_SECRETS = "WATCHER_WEBHOOK_SECRETS"

_secrets_option = click.option(
    "--secrets-file",
    type=click.File("r"),
    help=f"The secrets, as the daemon's file has them; default {_SECRETS}.",
)
_body_argument = click.argument("body", type=click.File("rb"), default="-")


def _secrets(file: TextIO | None) -> list[str]:
    from watcher.core.signing import split_secrets

    found = split_secrets(file.read() if file is not None else os.environ.get(_SECRETS, ""))
    if not found:
        raise click.UsageError(f"there is no secret: give --secrets-file, or set {_SECRETS}")
    return found


@click.command()
@_body_argument
@_secrets_option
@click.option("--id", "event_id", help="The webhook-id; default a new one.")
@click.option("--timestamp", type=click.IntRange(min=0), help="Unix seconds; default now.")
@json_option
def sign(
    body: BinaryIO,
    secrets_file: TextIO | None,
    event_id: str | None,
    timestamp: int | None,
    as_json: bool,
) -> None:
    """Print the headers with which BODY (a file; default standard input) would be sent."""
    from watcher.cli.terminal import print_json
    from watcher.core.clock import wall_clock
    from watcher.core.events import new_event_id
    from watcher.core.signing import Signer

    event_id = event_id or new_event_id()
    timestamp = int(wall_clock()) if timestamp is None else timestamp
    try:
        signature = Signer(_secrets(secrets_file)).sign(event_id, timestamp, body.read())
    except ValueError as error:
        raise click.UsageError(f"a secret {error}") from None
    headers = {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature,
    }
    if as_json:
        print_json(headers)
        return
    for name, value in headers.items():
        click.echo(f"{name}: {value}")


@click.command()
@_body_argument
@_secrets_option
@click.option(
    "-H",
    "--header",
    "lines",
    multiple=True,
    metavar="'NAME: VALUE'",
    help="As they came; may be repeated.",
)
@click.option("--at", type=float, help="Unix seconds of the moment it came; default now.")
def verify(
    body: BinaryIO, secrets_file: TextIO | None, lines: Sequence[str], at: float | None
) -> None:
    """Say whether BODY (a file; default standard input) was signed with one of the secrets: exit 0, or 1 and why not.

    Public keys (whpk_…) count as secrets here.
    """
    from watcher.core import signing
    from watcher.core.clock import wall_clock

    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines)
    }
    try:
        position = signing.verify(
            _secrets(secrets_file), headers, body.read(), wall_clock() if at is None else at
        )
    except signing.VerificationError as error:
        click.echo(f"refused: {error}")
        sys.exit(1)
    except ValueError as error:
        raise click.UsageError(f"a secret {error}") from None
    click.echo(f"ok: signed by secret {position + 1}")


VERBS = (sign, verify)
