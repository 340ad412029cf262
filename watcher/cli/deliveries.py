"""The outbox of a running daemon: `deliveries`, `attempts`, `retry`, `replay` and `purge`."""

from collections.abc import Sequence

import click

from watcher.cli.options import (
    client_at,
    confirm,
    json_option,
    limit_option,
    moment,
    url_option,
    yes_option,
)
from watcher.cli.terminal import say

_COLUMNS = (
    "id",
    "channel",
    "type",
    "task_id",
    "state",
    "attempts",
    "last_error",
    "created",
)
_STATES = click.Choice(["pending", "delivered", "failed"])


@click.command()
@click.option("--state", type=_STATES, help="Only this state.")
@click.option("--channel", help="Only deliveries to this channel.")
@limit_option()
@url_option
@json_option
def deliveries(
    state: str | None, channel: str | None, limit: int, url: str | None, as_json: bool
) -> None:
    """List deliveries, newest first."""
    from watcher.cli.tables import print_items, print_table
    from watcher.cli.terminal import ago

    items = client_at(url).deliveries(limit or None, state=state, channel=channel)
    if as_json:
        print_items(items)
    else:
        print_table(_COLUMNS, ({**item, "created": ago(item["created_at"])} for item in items))


@click.command()
@click.argument("delivery_id", type=int, metavar="ID")
@url_option
@json_option
def attempts(delivery_id: int, url: str | None, as_json: bool) -> None:
    """Show the attempts of a delivery.

    For each: time, duration, status, error and the beginning of the response.
    """
    from watcher.cli.tables import print_items, print_table

    history = client_at(url).delivery(delivery_id)["history"]
    if as_json:
        print_items(history)
    else:
        print_table(("number", "at", "duration", "status", "error", "answer"), history)


@click.command()
@click.argument("delivery_ids", nargs=-1, required=True, type=int, metavar="ID…")
@url_option
def retry(delivery_ids: Sequence[int], url: str | None) -> None:
    """Retry deliveries now."""
    from watcher.cli.several import for_each

    for_each(delivery_ids, client_at(url).retry, "queued")


@click.command()
@click.option("--channel", required=True, help="Channel to resend to.")
@click.option(
    "--since", required=True, metavar="T", help="Start: RFC 3339, or how long ago, such as 2h."
)
@click.option("--until", metavar="T", help="End, in the same form.  [default: now]")
@click.option(
    "--status",
    "statuses",
    multiple=True,
    metavar="S",
    help="Only events with this status; repeatable.",
)
@click.option(
    "--task", "task_ids", multiple=True, metavar="ID", help="Only events of this task; repeatable."
)
@url_option
def replay(
    channel: str,
    since: str,
    until: str | None,
    statuses: Sequence[str],
    task_ids: Sequence[str],
    url: str | None,
) -> None:
    """Resend the events of a time range.

    Each keeps its original webhook-id.
    """
    criteria = {
        "since": moment(since),
        "until": until and moment(until),
        "statuses": statuses,
        "task_ids": task_ids,
    }
    say(f"{client_at(url).replay(channel, **criteria)} queued")


@click.command()
@click.option("--channel", required=True, help="Channel, configured or not.")
@click.option("--state", required=True, type=_STATES, help="State of the deliveries.")
@click.option("--before", metavar="T", help="Only events before: RFC 3339, or how long ago.")
@yes_option
@url_option
def purge(channel: str, state: str, before: str | None, yes: bool, url: str | None) -> None:
    """Permanently delete deliveries.

    Pending deliveries among them are never sent.
    """
    confirm(f"Permanently delete the {state} deliveries to {channel}?", yes)
    say(f"{client_at(url).purge(channel, state=state, before=before and moment(before))} deleted")


COMMANDS = (deliveries, attempts, retry, replay, purge)
