"""`watcher routes test`: which channels would receive an event, and why."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from watcher.cli.options import (
    config_option,
    json_option,
    label_option,
    labels_of,
    load_settings,
    report_mistake,
    source_option,
)
from watcher.cli.terminal import Coloured, print_json, say

if TYPE_CHECKING:
    from watcher.core.routing import RoutingContext
    from watcher.core.settings import Settings


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
    from watcher.core.selectors import mistake_in_events, mistake_in_status

    if (status is None) == (event is None):
        raise click.UsageError("set either --status or --event")
    if event is not None:
        report_mistake("--event", mistake_in_events(event))
    for option, word in (("--status", status), ("--previous-status", previous_status)):
        if word is not None:
            report_mistake(option, mistake_in_status(word))
    settings = load_settings(config)
    context = _context(
        status=status,
        event=event,
        previous_status=previous_status,
        task_type=task_type,
        namespace=namespace,
        source=source or settings.sources[0].name,
        labels=labels,
    )
    result = _result(settings, context)
    if as_json:
        print_json(result)
    else:
        _print(result)


def _context(
    *,
    status: str | None,
    event: str | None,
    previous_status: str | None,
    task_type: str | None,
    namespace: str | None,
    source: str,
    labels: Sequence[str],
) -> "RoutingContext":
    """Return the fields that routes match. Only task events have labels; channel events have no
    source.
    """
    from watcher.core.events import event_type
    from watcher.core.routing import RoutingContext
    from watcher.core.tasks import TERMINAL_STATUSES

    first_observation = status is not None and previous_status is None
    kind = str(event) if status is None else event_type(status)
    return RoutingContext(
        type=kind,
        source=None if kind.startswith("channel.") else source,
        namespace=namespace,
        task_type=task_type,
        previous_status=previous_status,
        labels=labels_of(labels) if kind.startswith("task.") else None,
        silent=first_observation and str(status).upper() not in TERMINAL_STATUSES,
    )


def _result(settings: "Settings", context: "RoutingContext") -> dict[str, Any]:
    """Return the receiving channels, and for each route why it does not match (None: it does)."""
    from watcher.core.routing import Routing, why_not

    routes = settings.effective_routes
    channels = [channel.name for channel in settings.channels]
    return {
        "type": context.type,
        "channels": Routing(routes, channels).channels(context),
        "routes": [
            {"channels": route.channels, "not": why_not(route, context)} for route in routes
        ],
    }


def _print(result: dict[str, Any]) -> None:
    for number, route in enumerate(result["routes"]):
        reason = route["not"]
        mark = Coloured("yes", "green") if reason is None else Coloured("no", "yellow")
        suffix = "" if reason is None else f": {reason}"
        say(f"routes[{number}] to {', '.join(route['channels'])}: ", mark, suffix)
    channels = ", ".join(result["channels"])
    say(f"{result['type']} {f'matches: {channels}' if channels else 'no matching route'}")
