"""The outbox of a running daemon: `deliveries`, `attempts`, `retry`, `replay` and `purge`."""

from collections.abc import Sequence

import click

from watcher.cli.options import (
    check_statuses,
    client_at,
    confirm,
    dry_run_option,
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
        shown = ({**item, "created": ago(item["created_at"])} for item in items)
        print_table(_COLUMNS, shown, optional=("attempts", "created", "last_error"))


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
@click.argument("delivery_ids", nargs=-1, type=int, metavar="ID…")
@click.option("--channel", help="Instead of IDs: all failed deliveries to this channel.")
@click.option("--error", metavar="TEXT", help="Of these, only those with TEXT in their last error.")
@dry_run_option
@url_option
def retry(
    delivery_ids: Sequence[int],
    channel: str | None,
    error: str | None,
    dry_run: bool,
    url: str | None,
) -> None:
    """Retry deliveries now."""
    from watcher.cli.several import for_each

    if bool(delivery_ids) == (channel is not None):
        raise click.UsageError("set either IDs or --channel")
    if channel is None:
        if error is not None or dry_run:
            raise click.UsageError("--error and --dry-run need --channel")
        for_each(delivery_ids, client_at(url).retry, "queued")
    else:
        count = client_at(url).retry_failed(channel, error=error, dry_run=dry_run or None)
        say(_count(count, "queued", dry_run))


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
@click.option(
    "--include-new",
    is_flag=True,
    help="Also events that the channel was not sent before, if its routes select them today.",
)
@dry_run_option
@url_option
def replay(
    channel: str,
    since: str,
    until: str | None,
    statuses: Sequence[str],
    task_ids: Sequence[str],
    include_new: bool,
    dry_run: bool,
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
        "include_new": include_new or None,
        "dry_run": dry_run or None,
    }
    client = client_at(url)
    check_statuses(statuses, lambda: client.status()["watches"])
    say(_count(client.replay(channel, **criteria), "queued", dry_run))


@click.command()
@click.option("--channel", required=True, help="Channel, configured or not.")
@click.option("--state", required=True, type=_STATES, help="State of the deliveries.")
@click.option("--before", metavar="T", help="Only events before: RFC 3339, or how long ago.")
@dry_run_option
@yes_option
@url_option
def purge(
    channel: str, state: str, before: str | None, dry_run: bool, yes: bool, url: str | None
) -> None:
    """Permanently delete deliveries.

    Pending deliveries among them are never sent.
    """
    confirm(f"Permanently delete the {state} deliveries to {channel}?", yes or dry_run)
    criteria = {"state": state, "before": before and moment(before), "dry_run": dry_run or None}
    say(_count(client_at(url).purge(channel, **criteria), "deleted", dry_run))


def _count(count: int, done: str, dry_run: bool) -> str:
    return f"{count} would be {done}" if dry_run else f"{count} {done}"


COMMANDS = (deliveries, attempts, retry, replay, purge)
