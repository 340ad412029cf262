"""Which channels receive an event. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from watcher.core.events import event_type
from watcher.core.settings import RouteSettings
from watcher.core.statuses import StatusTable
from watcher.core.tasks import TERMINAL_STATUSES, Watch

_STATUSES = StatusTable()
"""A route may spell a status in any way."""


def matches(patterns: Iterable[str], text: str) -> bool:
    """Return whether a shell-style pattern matches `text`, regardless of case."""
    lowered = text.lower()
    return any(fnmatchcase(lowered, pattern.lower()) for pattern in patterns)


def route_events(route: RouteSettings) -> tuple[str, ...] | None:
    """Return the patterns of the route's event types; None means all."""
    if route.events is None and route.statuses is None:
        return None
    statuses = (_STATUSES.canonical(status) or status for status in route.statuses or ())
    return (*(route.events or ()), *(event_type(status) for status in statuses))


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingContext:
    """The fields of an event that routes match; None for a field that it does not have.

    `silent` marks the first observation of a task that has not ended: it is sent only to routes
    with `initial`.
    """

    type: str
    source: str | None = None
    namespace: str | None = None
    task_type: str | None = None
    previous_status: str | None = None
    labels: Mapping[str, str] | None = None
    silent: bool = False


class Routing:
    """The routes of a configuration; `channels` are its channel names, in order."""

    def __init__(self, routes: Sequence[RouteSettings] = (), channels: Sequence[str] = ()) -> None:
        self._routes = routes
        self._order = channels

    def replace(self, routes: Sequence[RouteSettings], channels: Sequence[str]) -> None:
        """Route later events by these: a reload changes routes under running pollers."""
        self._routes = routes
        self._order = channels

    def for_transition(
        self, watch: Watch, status: str, task_type: str | None, namespace: str | None
    ) -> tuple[str, ...]:
        """Return the channels of the transition from `watch` to `status`.

        A first observation is sent if its status is terminal, or if the route sets `initial`.
        """
        return self.channels(
            RoutingContext(
                type=event_type(status),
                source=watch.key.source,
                namespace=namespace,
                task_type=task_type,
                previous_status=watch.status,
                labels=watch.labels,
                silent=watch.status is None and status not in TERMINAL_STATUSES,
            )
        )

    def for_task_alert(self, watch: Watch, kind: str) -> tuple[str, ...]:
        """Return the channels of `task.lost` or `task.stalled`."""
        return self.channels(
            RoutingContext(
                type=kind,
                source=watch.key.source,
                namespace=watch.namespace,
                task_type=watch.task_type,
                previous_status=watch.status,
                labels=watch.labels,
            )
        )

    def for_system_event(self, kind: str, subject: str) -> tuple[str, ...]:
        """Return the channels of an event about `subject` (`channel backend`), except that one."""
        kind_of_subject, _, name = subject.partition(" ")
        matching = self.channels(
            RoutingContext(type=kind, source=name if kind_of_subject == "source" else None)
        )
        return tuple(channel for channel in matching if subject != f"channel {channel}")

    def channels(self, context: RoutingContext) -> tuple[str, ...]:
        """Return the channels of all matching routes, in the configuration's order."""
        matching = {
            name
            for route in self._routes
            if why_not(route, context) is None
            for name in route.channels
        }
        return tuple(name for name in self._order if name in matching)


def received_by(channel: str, routes: Iterable[RouteSettings]) -> str:
    """Return what `channel` receives by these routes, as text for people."""
    parts = [_received(route) for route in routes if channel in route.channels]
    return "; ".join(dict.fromkeys(parts)) or "nothing: no route leads to it"


def _received(route: RouteSettings) -> str:
    events = route_events(route)
    text = "every event" if events is None or "*" in events else ", ".join(events)
    patterns = {
        "task_types": route.task_types,
        "sources": route.sources,
        "namespaces": route.namespaces,
        "previous_statuses": route.previous_statuses,
        "labels": [f"{name}={value}" for name, value in route.labels.items()],
    }
    conditions = [f"{name} {', '.join(values)}" for name, values in patterns.items() if values]
    if route.initial:
        conditions.append("first statuses too")
    return f"{text} ({'; '.join(conditions)})" if conditions else text


def why_not(route: RouteSettings, context: RoutingContext) -> str | None:
    """Return the first condition of `route` that does not match; None if all match.

    A condition on a field that the event does not have does not match.
    """
    events = route_events(route)
    if events is not None and not matches(events, context.type):
        return f"{context.type} matches none of its events"
    conditions = (
        ("task_types", route.task_types, context.task_type),
        ("sources", route.sources, context.source),
        ("namespaces", route.namespaces, context.namespace),
        ("previous_statuses", route.previous_statuses, context.previous_status),
    )
    for name, patterns, value in conditions:
        if patterns is not None and (value is None or not matches(patterns, value)):
            return f"{'nothing' if value is None else value} matches none of its {name}"
    for name, value in route.labels.items():
        if context.labels is None or context.labels.get(name) != value:
            return f"the label {name} is not {value}"
    return (
        "a first status that is not terminal needs initial: true"
        if context.silent and not route.initial
        else None
    )
