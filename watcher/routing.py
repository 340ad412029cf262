"""Which channels hear of an event."""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from watcher.model import TERMINAL_STATUSES, Watch, event_type
from watcher.settings import RouteSettings


def matches(patterns: Iterable[str], text: str) -> bool:
    """Return whether one of the shell-style `patterns` matches `text`; case does not matter."""
    lowered = text.lower()
    return any(fnmatchcase(lowered, pattern.lower()) for pattern in patterns)


def route_events(route: RouteSettings) -> tuple[str, ...] | None:
    """Return the patterns of event types that `route` takes; None takes all."""
    if route.events is None and route.statuses is None:
        return None
    return (*(route.events or ()), *(event_type(status) for status in route.statuses or ()))


class Routing:
    """The routes of a configuration; `channels` are the names it has, in its order."""

    def __init__(self, routes: Sequence[RouteSettings], channels: Sequence[str]) -> None:
        self._routes = routes
        self._order = channels

    def for_transition(self, watch: Watch, status: str, task_type: str | None) -> tuple[str, ...]:
        """Return who hears that `watch`, as it was before, is now in `status`.

        A first observation is told where its status is terminal, or where the route asks for it.
        """
        silent = watch.status is None and status not in TERMINAL_STATUSES
        return self._channels(
            route
            for route in self._routes
            if (route.initial or not silent) and _takes(route, event_type(status), task_type, watch.labels)
        )

    def for_trouble(self, watch: Watch, kind: str) -> tuple[str, ...]:
        """Return who hears that a task is lost (`task.lost`), or stalled (`task.stalled`)."""
        return self._channels(route for route in self._routes if _takes(route, kind, watch.task_type, watch.labels))

    def for_notice(self, kind: str, subject: str) -> tuple[str, ...]:
        """Return who hears of `subject` (`channel backend`): all that take `kind`, but not that channel itself."""
        chosen = self._channels(route for route in self._routes if _takes(route, kind, None, None))
        return tuple(name for name in chosen if subject != f"channel {name}")

    def _channels(self, routes: Iterable[RouteSettings]) -> tuple[str, ...]:
        chosen = {name for route in routes for name in route.channels}
        return tuple(name for name in self._order if name in chosen)


def _takes(route: RouteSettings, kind: str, task_type: str | None, labels: Mapping[str, str] | None) -> bool:
    """Return whether every condition of `route` holds; one on a field the event does not have does not."""
    events = route_events(route)
    if events is not None and not matches(events, kind):
        return False
    if route.task_types is not None and (task_type is None or not matches(route.task_types, task_type)):
        return False
    if route.labels:
        return labels is not None and all(labels.get(name) == value for name, value in route.labels.items())
    return True
