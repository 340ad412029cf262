"""`watcher channels`: list, test, pause and resume channels."""

from collections.abc import Sequence
from pathlib import Path

import click

from watcher.cli.options import client_at, config_option, json_option, load_settings, url_option
from watcher.cli.terminal import print_verdicts, say

_COLUMNS = ("name", "type", "state", "since", "reason", "pending", "failed")


@click.group()
def channels() -> None:
    """Inspect, test, pause and resume channels."""


@channels.command("ls")
@url_option
@json_option
def list_channels(url: str | None, as_json: bool) -> None:
    """List channels with their status and deliveries."""
    from watcher.cli.tables import print_items, print_table
    from watcher.cli.terminal import ago

    items = client_at(url).channels()
    if as_json:
        print_items(items)
    else:
        print_table(_COLUMNS, ({**item, "since": ago(item["since"])} for item in items))


@channels.command()
@click.argument("name")
@click.option("--reason", help="Note shown in `channels ls`.")
@url_option
def pause(name: str, reason: str | None, url: str | None) -> None:
    """Pause a channel; its deliveries stay pending."""
    say(f"paused; {client_at(url).pause(name, reason)['pending']} deliveries pending")


@channels.command()
@click.argument("name")
@url_option
def resume(name: str, url: str | None) -> None:
    """Resume a paused or stopped channel."""
    say(f"resumed; {client_at(url).resume(name)['pending']} deliveries are sent now")


@channels.command("test")
@click.argument("names", nargs=-1, metavar="[NAME]…")
@config_option
def test_channels(names: Sequence[str], config: Path | None) -> None:
    """Send a test message to each channel.

    Exits 1 if a channel fails.
    """
    from watcher.cli import checks

    known = {channel.name: channel for channel in load_settings(config).channels}
    if unknown := [name for name in names if name not in known]:
        raise click.UsageError(
            f"unknown channel {', '.join(unknown)}; expected one of: {', '.join(known) or 'none'}"
        )
    if not known:
        raise click.UsageError("the configuration has no channel")
    print_verdicts(checks.test_channels([known[name] for name in names or known]))
