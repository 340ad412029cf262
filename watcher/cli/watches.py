"""The watchlist of a running daemon: `add`, `ls`, `show`, `rm` and `wait`."""

import sys
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import click

from watcher.cli.options import (
    address_at,
    check_statuses,
    client_at,
    config_of_context,
    duration,
    json_option,
    label_option,
    labels_of,
    limit_option,
    load_settings,
    moment,
    source_option,
    stdin_option,
    url_option,
    watch_source_option,
)
from watcher.core.errors import DaemonError

if TYPE_CHECKING:
    from watcher.cli.address import Address
    from watcher.cli.client import Client
    from watcher.cli.wait import Tally
    from watcher.cli.watch_status import WatchStatus

_COLUMNS = ("task_id", "status", "state", "task_type", "changed", "labels")
_LEFT_OUT = ("state", "labels", "task_type")
"""Columns for which a narrow terminal has no place, in this order."""


@click.command()
@click.argument("task_ids", nargs=-1, metavar="ID…")
@source_option
@click.option("--namespace", help="Namespace, included in every event of these tasks.")
@label_option
@stdin_option
@click.option("--again", is_flag=True, help="Watch tasks again that have ended.")
@url_option
@json_option
def add(
    task_ids: Sequence[str],
    source: str | None,
    namespace: str | None,
    labels: Sequence[str],
    stdin: bool,
    again: bool,
    url: str | None,
    as_json: bool,
) -> None:
    """Add tasks to the watchlist."""
    from watcher.cli.terminal import Counting, print_json, say

    entries = _entries(task_ids, stdin, source, namespace, labels)
    if again:
        entries = [{**entry, "again": True} for entry in entries]
    added = existing = 0
    items: list[Any] = []
    with Counting(len(entries), "tasks") as counting:
        for page in client_at(url).add(entries):
            added += page["added"]
            existing += page["existing"]
            items += page["items"]
            if len(entries) > len(page["items"]):
                counting.reached(len(items))
    if as_json:
        print_json(items)
    else:
        say(f"{added} added, {existing} already watched")


@click.command("ls")
@click.option(
    "--status", "statuses", multiple=True, metavar="S", help="Only this status; repeatable."
)
@click.option("--state", type=click.Choice(["active", "done"]), help="Only this state.")
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="K=V",
    help="Only tasks with this label; repeatable.",
)
@click.option("--type", "task_type", metavar="T", help="Only this type; * and ? are wildcards.")
@click.option("--batch", metavar="ID", help="Only tasks of this batch.")
@click.option("--search", metavar="TEXT", help="Only tasks with TEXT in their ID, batch or error.")
@click.option(
    "--error",
    metavar="TEXT",
    help="Only tasks whose error begins with the same 40 characters; empty for no error.",
)
@click.option(
    "--since",
    metavar="T",
    help="Only tasks that have changed since: RFC 3339, or how long ago, such as 2h.",
)
@limit_option()
@url_option
@json_option
def list_watches(
    statuses: Sequence[str],
    state: str | None,
    labels: Sequence[str],
    task_type: str | None,
    batch: str | None,
    search: str | None,
    error: str | None,
    since: str | None,
    limit: int,
    url: str | None,
    as_json: bool,
) -> None:
    """List watched tasks, newest first."""
    from watcher.cli.tables import print_items, print_table
    from watcher.cli.watch_status import WatchStatus
    from watcher.core.summary import ALIKE

    client = client_at(url)
    check_statuses(statuses, lambda: client.status()["watches"])
    label_texts = [f"{name}:{value}" for name, value in labels_of(labels).items()]
    items = client.watches(
        limit or None,
        status=list(statuses),
        state=state,
        label=label_texts,
        type=task_type,
        batch=batch,
        search=search,
        error=None if error is None else error[:ALIKE],
        since=None if since is None else moment(since),
    )
    if as_json:
        print_items(items)
    else:
        shown = WatchStatus(client.status)
        print_table(_COLUMNS, (_row(item, shown) for item in items), optional=_LEFT_OUT)


def _row(watch: Mapping[str, Any], shown: "WatchStatus") -> dict[str, Any]:
    from watcher.cli.terminal import ago

    return {**watch, "status": shown.of(watch), "changed": ago(watch["changed_at"])}


@click.command()
@click.argument("task_id", metavar="ID")
@watch_source_option
@url_option
@json_option
def show(task_id: str, source: str | None, url: str | None, as_json: bool) -> None:
    """Show a watched task with its transitions."""
    from watcher.cli.tables import print_table
    from watcher.cli.terminal import plain, print_json, say
    from watcher.cli.watch_status import WatchStatus

    client = client_at(url)
    watch = _watch(client, task_id, source)
    if as_json:
        print_json(watch)
        return
    transitions = watch.pop("transitions")
    watch["status"] = WatchStatus(client.status).of(watch)
    for name, value in watch.items():
        say(f"{name + ':':<15} {plain(value)}")
    if transitions:
        say()
        columns = ("sequence", "previous_status", "status", "at", "event_id")
        print_table(columns, transitions, optional=("event_id", "previous_status"))


def _watch(client: "Client", task_id: str, source: str | None) -> dict[str, Any]:
    try:
        return client.watch(task_id, source)
    except DaemonError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        raise DaemonError(f"{error}; to watch it: watcher add {task_id}", error.status) from None


@click.command("rm")
@click.argument("task_ids", nargs=-1, required=True, metavar="ID…")
@watch_source_option
@url_option
def remove(task_ids: Sequence[str], source: str | None, url: str | None) -> None:
    """Remove tasks from the watchlist.

    Pending deliveries are still sent.
    """
    from watcher.cli.several import for_each

    client = client_at(url)
    for_each(task_ids, lambda task_id: client.remove(task_id, source), "removed")


@click.command()
@click.argument("task_ids", nargs=-1, metavar="ID…")
@stdin_option
@click.option("--timeout", metavar="D", help="Give up after this time, such as 90s or 2h.")
@click.option(
    "--standalone",
    is_flag=True,
    help="Poll without a daemon, with the sources of the configuration, for a CI job.",
)
@source_option
@click.option("--namespace", help="Namespace of tasks that are not watched yet.")
@label_option
@url_option
@json_option
def wait(
    task_ids: Sequence[str],
    stdin: bool,
    timeout: str | None,
    standalone: bool,
    source: str | None,
    namespace: str | None,
    labels: Sequence[str],
    url: str | None,
    as_json: bool,
) -> None:
    """Wait until all tasks have ended.

    Exit codes, the worst first: 1 a task is FAILED, CANCELED or lost; 124 timeout; 3 a task is
    COMPLETED_WITH_ERRORS; 0 otherwise; 4 the daemon is not reachable or answered an error.
    """
    from watcher.cli.terminal import say

    entries = _entries(task_ids, stdin, source, namespace, labels)
    tally = _waited(entries, duration(timeout), source if standalone else None, standalone, url)
    _print_ends(tally, as_json)
    if tally.waiting:
        say(f"watcher: timeout; {len(tally.waiting)} tasks have not ended", err=True)
    sys.exit(tally.exit_code())


def _waited(
    entries: Sequence[Mapping[str, Any]],
    limit: float | None,
    source: str | None,
    standalone: bool,
    url: str | None,
) -> "Tally":
    """Wait until all tasks have ended, or for `limit` seconds; return how they ended."""
    import anyio

    from watcher.cli.progress import Progress
    from watcher.cli.wait import Waiting

    async def until_ended(address: "Address") -> "Tally":
        with Progress(len(entries)) as progress:
            waiting = Waiting(address=address, entries=entries, on_change=progress.changed)
            await waiting.run(limit)
        return waiting.tally

    if not standalone:
        return anyio.run(until_ended, address_at(url))
    from watcher.cli import standalone as daemon

    settings = load_settings(config_of_context())

    async def alone() -> "Tally":
        async with daemon.running(settings, source) as address:
            return await until_ended(address)

    return anyio.run(alone)


def _print_ends(tally: "Tally", as_json: bool) -> None:
    """Print the status of each task, and why it ended, where that is known."""
    from watcher.cli.tables import print_table
    from watcher.cli.terminal import print_json

    items = [{"task_id": task_id, "status": status} for task_id, status in tally.statuses.items()]
    for item in items:
        if (error := tally.errors.get(str(item["task_id"]))) is not None:
            item["error_message"] = error
    if as_json:
        print_json(items)
    else:
        columns = ("task_id", "status", *(("error_message",) if tally.errors else ()))
        print_table(columns, items)


def _entries(
    task_ids: Sequence[str],
    stdin: bool,
    source: str | None,
    namespace: str | None,
    labels: Sequence[str],
) -> list[dict[str, Any]]:
    """Return what to request for each task, once, in their order."""
    from watcher.cli import id_lines

    task_ids = [*task_ids, *(id_lines.read() if stdin else ())]
    if not task_ids:
        missing = "standard input has none" if stdin else "pass at least one, or use --stdin"
        raise click.UsageError(f"missing task ID: {missing}")
    common = {"source": source, "namespace": namespace, "labels": labels_of(labels)}
    options = {name: value for name, value in common.items() if value}
    return [{"task_id": task_id, **options} for task_id in dict.fromkeys(task_ids)]


COMMANDS = (add, list_watches, show, remove, wait)
