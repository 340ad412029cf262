"""`watcher routes test`: who would be told, and why."""

import os
from collections.abc import Sequence
from pathlib import Path

import click

from watcher.cli.options import config_option, json_option, label_option, labels_of


@click.group()
def routes() -> None:
    """Try the routes of a configuration."""


@routes.command("test")
@click.option("--status", help="The status that a task comes to.")
@click.option(
    "--event", help="Instead of a status, an event's type, such as task.lost or source.unreachable."
)
@click.option(
    "--previous-status", help="The status it was in before; none: it is seen for the first time."
)
@click.option("--task-type", help="The task's type.")
@click.option("--namespace", help="The task's namespace.")
@click.option("--source", help="The source; default the first one configured.")
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
    """Say who would be told of an event, and for each route why not."""
    from watcher.cli.terminal import print_json
    from watcher.configuration import defaults, loader
    from watcher.core.events import event_type
    from watcher.core.routing import Routing, RoutingContext, why_not
    from watcher.core.tasks import TERMINAL_STATUSES

    if (status is None) == (event is None):
        raise click.UsageError("give either --status or --event")
    settings = loader.load(defaults.find_file(config, os.environ), os.environ)
    kind = event_type(status) if status is not None else str(event)
    about_a_task = kind.startswith("task.")
    silent = (
        status is not None and previous_status is None and status.upper() not in TERMINAL_STATUSES
    )
    told = RoutingContext(
        type=kind,
        source=None if kind.startswith("channel.") else source or settings.sources[0].name,
        namespace=namespace,
        task_type=task_type,
        previous_status=previous_status,
        labels=labels_of(labels) if about_a_task else None,
        silent=silent,
    )
    given = settings.effective_routes
    channels = Routing(given, [one.name for one in settings.channels]).channels(told)
    reasons = [why_not(route, told) for route in given]
    if as_json:
        judged = zip(given, reasons, strict=True)
        print_json(
            {
                "type": kind,
                "channels": channels,
                "routes": [{"channels": one.channels, "not": why} for one, why in judged],
            }
        )
        return
    for number, (route, reason) in enumerate(zip(given, reasons, strict=True)):
        mark = click.style("yes", fg="green") if reason is None else click.style("no", fg="yellow")
        click.echo(
            f"routes[{number}] to {', '.join(route.channels)}: {mark}{'' if reason is None else f': {reason}'}"
        )
    click.echo(f"{kind} is told to {', '.join(channels) or 'nobody'}")
