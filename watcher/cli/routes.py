"""`watcher routes test`: which channels would receive an event, and why."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from watcher.cli.options import (
    config_of_context,
    json_option,
    label_option,
    labels_of,
    load_settings,
    of_daemon,
    report_mistake,
    source_option,
    url_option,
)
from watcher.cli.terminal import Coloured, print_json, say


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
@click.option(
    "--offline", is_flag=True, help="Test the routes of the configuration, not the daemon's."
)
@url_option
@json_option
def test_routes(
    status: str | None,
    event: str | None,
    previous_status: str | None,
    task_type: str | None,
    namespace: str | None,
    source: str | None,
    labels: Sequence[str],
    offline: bool,
    url: str | None,
    as_json: bool,
) -> None:
    """Show which channels would receive an event.

    For each route that does not match, prints the reason. The routes are those of the running
    daemon; without one, those of the configuration.
    """
    from watcher.core.selectors import mistake_in_events, mistake_in_status

    if (status is None) == (event is None):
        raise click.UsageError("set either --status or --event")
    if event is not None:
        report_mistake("--event", mistake_in_events(event))
    for option, word in (("--status", status), ("--previous-status", previous_status)):
        if word is not None:
            report_mistake(option, mistake_in_status(word))
    given = {
        "status": status,
        "event": event,
        "previous_status": previous_status,
        "task_type": task_type,
        "namespace": namespace,
        "source": source,
        "labels": labels_of(labels),
    }
    result = _tested({name: value for name, value in given.items() if value}, offline, url)
    if as_json:
        print_json(result)
    else:
        _print(result)


def _tested(event: Mapping[str, Any], offline: bool, url: str | None) -> Mapping[str, Any]:
    """Return what the routes do with an event: those of the running daemon, else the file's."""
    shown = None if offline else of_daemon(url, lambda client: client.test_routes(event))
    if shown is not None:
        return shown
    from watcher.core.route_test import TestedEvent, tested

    test = tested(load_settings(config_of_context()), TestedEvent(**event))
    routes = [{"channels": route.channels, "not": route.why_not} for route in test.routes]
    return {
        "type": test.type,
        "channels": test.channels,
        "routes": routes,
        "default": test.default,
    }


def _print(result: Mapping[str, Any]) -> None:
    for number, route in enumerate(result["routes"]):
        reason = route["not"]
        mark = Coloured("yes", "green") if reason is None else Coloured("no", "yellow")
        suffix = "" if reason is None else f": {reason}"
        name = "default route" if result.get("default") else f"routes[{number}]"
        say(f"{name} to {', '.join(route['channels'])}: ", mark, suffix)
    channels = ", ".join(result["channels"])
    say(f"{result['type']} {f'matches: {channels}' if channels else 'no matching route'}")
