"""Which channels would receive an event, and for each route why not. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from watcher.core.events import event_type
from watcher.core.routing import Routing, RoutingContext, why_not
from watcher.core.settings import Settings
from watcher.core.tasks import TERMINAL_STATUSES


@dataclass(frozen=True, slots=True, kw_only=True)
class TestedEvent:
    """The event that a test is about: of a new `status`, or of the type `event`. `source` is the
    first one by default.
    """

    status: str | None = None
    event: str | None = None
    previous_status: str | None = None
    task_type: str | None = None
    namespace: str | None = None
    source: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    def context(self, first_source: str) -> RoutingContext:
        """Return the fields that routes match. Only events of tasks have labels; those of channels
        have no source.
        """
        kind = str(self.event) if self.status is None else event_type(self.status)
        first_observation = self.status is not None and self.previous_status is None
        return RoutingContext(
            type=kind,
            source=None if kind.startswith("channel.") else self.source or first_source,
            namespace=self.namespace,
            task_type=self.task_type,
            previous_status=self.previous_status,
            labels=self.labels if kind.startswith("task.") else None,
            silent=first_observation and str(self.status).upper() not in TERMINAL_STATUSES,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TestedRoute:
    """A route's channels, and why it does not match; None if it does."""

    channels: Sequence[str]
    why_not: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteTest:
    """The channels that would receive an event of `type`, and what each route says; `default` if
    the configuration has no routes, so that these are the default ones.
    """

    type: str
    channels: Sequence[str]
    routes: Sequence[TestedRoute]
    default: bool


def tested(settings: Settings, event: TestedEvent) -> RouteTest:
    """Return what the effective routes do with an event."""
    context = event.context(settings.sources[0].name)
    routes = settings.effective_routes
    names = [channel.name for channel in settings.channels]
    return RouteTest(
        type=context.type,
        channels=Routing(routes, names).channels(context),
        routes=[
            TestedRoute(channels=route.channels, why_not=why_not(route, context))
            for route in routes
        ],
        default=not settings.routes,
    )
