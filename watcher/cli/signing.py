"""`watcher sign` and `watcher verify`: for developers of receivers."""

import os
import sys
from collections.abc import Sequence
from typing import BinaryIO, TextIO

import click

from watcher.cli.options import json_option
from watcher.cli.terminal import say
from watcher.core.masking import SECRETS

_SECRETS = "WATCHER_WEBHOOK_SECRETS"

_secrets_option = click.option(
    "--secrets-file",
    type=click.File("r"),
    help=f"File with secrets, as for the daemon.  [default: {_SECRETS}]",
)
_body_argument = click.argument("body", type=click.File("rb"), default="-")


def _secrets(file: TextIO | None) -> list[str]:
    from watcher.core.signing import split_secrets

    secrets = split_secrets(file.read() if file is not None else os.environ.get(_SECRETS, ""))
    if not secrets:
        raise click.UsageError(f"missing secret: set --secrets-file or {_SECRETS}")
    SECRETS.add(secrets)
    return secrets


@click.command()
@_body_argument
@_secrets_option
@click.option("--id", "event_id", help="The webhook-id.  [default: a new one]")
@click.option("--timestamp", type=click.IntRange(min=0), help="Unix seconds.  [default: now]")
@json_option
def sign(
    body: BinaryIO,
    secrets_file: TextIO | None,
    event_id: str | None,
    timestamp: int | None,
    as_json: bool,
) -> None:
    """Print the webhook headers of a body.

    BODY is a file; default: standard input.
    """
    from watcher.cli.terminal import print_json
    from watcher.core.clock import wall_clock
    from watcher.core.events import new_event_id
    from watcher.core.signing import Signer

    event_id = event_id or new_event_id()
    timestamp = int(wall_clock()) if timestamp is None else timestamp
    try:
        signature = Signer(_secrets(secrets_file)).sign(event_id, timestamp, body.read())
    except ValueError as error:
        raise click.UsageError(f"invalid secret: {error}") from None
    headers = {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature,
    }
    if as_json:
        print_json(headers)
        return
    for name, value in headers.items():
        say(f"{name}: {value}")


@click.command()
@_body_argument
@_secrets_option
@click.option(
    "-H",
    "--header",
    "lines",
    multiple=True,
    metavar="'NAME: VALUE'",
    help="Received header; repeatable.",
)
@click.option("--at", type=float, help="Unix seconds of its arrival.  [default: now]")
def verify(
    body: BinaryIO, secrets_file: TextIO | None, lines: Sequence[str], at: float | None
) -> None:
    """Verify the signature of a webhook.

    BODY is a file; default: standard input. Exits 0 if one of the secrets or public keys (whpk_…)
    has signed it, else 1 with the reason.
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
        say(f"invalid: {error}")
        sys.exit(1)
    except ValueError as error:
        raise click.UsageError(f"invalid secret: {error}") from None
    say(f"ok: signed by secret {position + 1}")


COMMANDS = (sign, verify)
