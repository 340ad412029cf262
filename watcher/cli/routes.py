"""`watcher routes test`: which channels would receive an event, and why."""

from collections.abc import Sequence
from pathlib import Path

import click

from watcher.cli.options import (
    config_option,
    json_option,
    label_option,
    labels_of,
    load_settings,
    source_option,
)


@click.group("routes")
def routes_group() -> None:
    """Test the routes of the configuration."""


@routes_group.command("test")
@click.option("--status", help="New status of the task.")
@click.option("--event", help="Event type instead of a status, such as task.lost.")
@click.option("--previous-status", help="Previous status.  [default: none, a first observation]")
@click.option("--task-type", help="Type of the task.")
@click.option("--namespace", help="Namespace of the task.")
@source_option
@label_option
@config_option
@json_option
def test_routes(
    status: str | None,
    event: str | None,
    previous_status: str | None,
    task_type: str | None,
    namespace: str | None,
    source: str | None,
    labels: Sequence[str],
    config: Path | None,
    as_json: bool,
) -> None:
    """Show which channels would receive an event.

    For each route that does not match, prints the reason.
    """
    from watcher.core.events import event_type
    from watcher.core.routing import Routing, RoutingContext, why_not
    from watcher.core.tasks import TERMINAL_STATUSES

    if (status is None) == (event is None):
        raise click.UsageError("set either --status or --event")
    settings = load_settings(config)
    kind = event_type(status) if status is not None else str(event)
    first = status is not None and previous_status is None
    context = RoutingContext(
        type=kind,
        source=None if kind.startswith("channel.") else source or settings.sources[0].name,
        namespace=namespace,
        task_type=task_type,
        previous_status=previous_status,
        labels=labels_of(labels) if kind.startswith("task.") else None,
        silent=first and str(status).upper() not in TERMINAL_STATUSES,
    )
    routes = settings.effective_routes
    names = [channel.name for channel in settings.channels]
    channels = Routing(routes, names).channels(context)
    judged = [(route.channels, why_not(route, context)) for route in routes]
    (_print_json if as_json else _print)(kind, channels, judged)


Judged = Sequence[tuple[Sequence[str], str | None]]
"""Each route's channels, and why it does not match; None if it does."""


def _print_json(kind: str, channels: Sequence[str], judged: Judged) -> None:
    from watcher.cli.terminal import print_json

    items = [{"channels": names, "not": reason} for names, reason in judged]
    print_json({"type": kind, "channels": channels, "routes": items})


def _print(kind: str, channels: Sequence[str], judged: Judged) -> None:
    for number, (names, reason) in enumerate(judged):
        mark = click.style("yes", fg="green") if reason is None else click.style("no", fg="yellow")
        why = "" if reason is None else f": {reason}"
        click.echo(f"routes[{number}] to {', '.join(names)}: {mark}{why}")
    receivers = f"matches: {', '.join(channels)}" if channels else "no matching route"
    click.echo(f"{kind} {receivers}")
