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


@click.group()
def routes() -> None:
    """Test the routes of the configuration."""


@routes.command("test")
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
    from watcher.cli.terminal import print_json
    from watcher.core.events import event_type
    from watcher.core.routing import Routing, RoutingContext, why_not
    from watcher.core.tasks import TERMINAL_STATUSES

    if (status is None) == (event is None):
        raise click.UsageError("set either --status or --event")
    settings = load_settings(config)
    kind = event_type(status) if status is not None else str(event)
    about_a_task = kind.startswith("task.")
    silent = (
        status is not None and previous_status is None and status.upper() not in TERMINAL_STATUSES
    )
    context = RoutingContext(
        type=kind,
        source=None if kind.startswith("channel.") else source or settings.sources[0].name,
        namespace=namespace,
        task_type=task_type,
        previous_status=previous_status,
        labels=labels_of(labels) if about_a_task else None,
        silent=silent,
    )
    effective = settings.effective_routes
    channels = Routing(effective, [channel.name for channel in settings.channels]).channels(context)
    reasons = [why_not(route, context) for route in effective]
    if as_json:
        judged = zip(effective, reasons, strict=True)
        print_json(
            {
                "type": kind,
                "channels": channels,
                "routes": [{"channels": one.channels, "not": why} for one, why in judged],
            }
        )
        return
    for number, (route, reason) in enumerate(zip(effective, reasons, strict=True)):
        mark = click.style("yes", fg="green") if reason is None else click.style("no", fg="yellow")
        why = "" if reason is None else f": {reason}"
        click.echo(f"routes[{number}] to {', '.join(route.channels)}: {mark}{why}")
    receivers = f"matches: {', '.join(channels)}" if channels else "no matching route"
    click.echo(f"{kind} {receivers}")
