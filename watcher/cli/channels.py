"""`watcher channels`: list, test, pause and resume channels."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from watcher.cli.options import (
    client_at,
    config_of_context,
    json_option,
    load_settings,
    of_daemon,
    url_option,
)
from watcher.cli.terminal import print_results, say

if TYPE_CHECKING:
    from watcher.cli.checks import CheckResult
    from watcher.cli.client import Client

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
@click.option(
    "--type",
    "kind",
    default="watcher.test",
    metavar="T",
    help="Send an example of this event type, such as task.failed.",
)
@click.option(
    "--offline", is_flag=True, help="Send from here, as the configuration says, without a daemon."
)
@url_option
def test_channels(names: Sequence[str], kind: str, offline: bool, url: str | None) -> None:
    """Send a test message to each channel.

    The running daemon sends it; without one, this command does. Exits 1 if a channel fails.
    """
    from watcher.cli import checks
    from watcher.core.example_events import EXAMPLE_TYPES
    from watcher.core.selectors import mistake_in_events

    if kind not in EXAMPLE_TYPES:
        mistake = mistake_in_events(kind)
        text = mistake.text if mistake else f"expected one of {', '.join(EXAMPLE_TYPES)}"
        raise click.UsageError(f"--type: {text}")
    results = None
    if not offline:
        results = of_daemon(url, lambda client: _tested_by_daemon(client, names, kind))
    if results is None:
        known = {one.name: one for one in load_settings(config_of_context()).channels}
        chosen = _chosen(names, list(known))
        results = checks.test_channels([known[name] for name in chosen], kind)
    print_results(results)


def _tested_by_daemon(client: "Client", names: Sequence[str], kind: str) -> "list[CheckResult]":
    from watcher.cli.checks import result_of

    known = [channel["name"] for channel in client.channels()]
    tests = [client.test_channel(name, kind) for name in _chosen(names, known)]
    return [result_of(test["channel"], test["status"], test["error"]) for test in tests]


def _chosen(names: Sequence[str], known: Sequence[str]) -> Sequence[str]:
    """Return the channels to test. Raises `UsageError` if one is unknown, or there is none."""
    if unknown := [name for name in names if name not in known]:
        raise click.UsageError(
            f"unknown channel {', '.join(unknown)}; expected one of: {', '.join(known) or 'none'}"
        )
    if not known:
        raise click.UsageError("the configuration has no channel")
    return names or known
