"""Which channels hear of an event."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from watcher.core.events import event_type
from watcher.core.settings import RouteSettings
from watcher.core.tasks import TERMINAL_STATUSES, Watch


def matches(patterns: Iterable[str], text: str) -> bool:
    """Return whether one of the shell-style `patterns` matches `text`; case does not matter."""
    lowered = text.lower()
    return any(fnmatchcase(lowered, pattern.lower()) for pattern in patterns)


def route_events(route: RouteSettings) -> tuple[str, ...] | None:
    """Return the patterns of event types that `route` takes; None takes all."""
    if route.events is None and route.statuses is None:
        return None
    return (*(route.events or ()), *(event_type(status) for status in route.statuses or ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingContext:
    """What routes look at; None is a field that the event does not have.

    `silent` is a first observation of a task that is not finished: told only where a route asks for
    it.
    """

    type: str
    source: str | None = None
    namespace: str | None = None
    task_type: str | None = None
    previous_status: str | None = None
    labels: Mapping[str, str] | None = None
    silent: bool = False


class Routing:
    """The routes of a configuration; `channels` are the names it has, in its order."""

    def __init__(self, routes: Sequence[RouteSettings], channels: Sequence[str]) -> None:
        self._routes = routes
        self._order = channels

    def for_transition(
        self, watch: Watch, status: str, task_type: str | None, namespace: str | None
    ) -> tuple[str, ...]:
        """Return who hears that `watch`, as it was before, is now in `status`.

        A first observation is told where its status is terminal, or where the route asks for it.
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
        """Return who hears that a task is lost (`task.lost`), or stalled (`task.stalled`)."""
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
        """Return who hears of `subject` (`channel backend`): all that take `kind`, but not that
        channel itself.
        """
        what, _, name = subject.partition(" ")
        chosen = self.channels(RoutingContext(type=kind, source=name if what == "source" else None))
        return tuple(one for one in chosen if subject != f"channel {one}")

    def channels(self, told: RoutingContext) -> tuple[str, ...]:
        """Return who hears of this, in the configuration's order."""
        chosen = {
            name
            for route in self._routes
            if why_not(route, told) is None
            for name in route.channels
        }
        return tuple(name for name in self._order if name in chosen)


def why_not(route: RouteSettings, told: RoutingContext) -> str | None:
    """Return the first condition of `route` that does not hold, None where all do.

    One on a field that the event does not have does not hold.
    """
    events = route_events(route)
    if events is not None and not matches(events, told.type):
        return f"{told.type} is none of its events"
    conditions = (
        ("task_types", route.task_types, told.task_type),
        ("sources", route.sources, told.source),
        ("namespaces", route.namespaces, told.namespace),
        ("previous_statuses", route.previous_statuses, told.previous_status),
    )
    for name, patterns, value in conditions:
        if patterns is not None and (value is None or not matches(patterns, value)):
            return f"{'nothing' if value is None else value} is none of its {name}"
    for name, value in route.labels.items():
        if told.labels is None or told.labels.get(name) != value:
            return f"the label {name} is not {value}"
    return (
        "a first status that is no end is told only with initial: true"
        if told.silent and not route.initial
        else None
    )
