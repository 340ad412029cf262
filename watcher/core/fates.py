"""What became of an event for each channel, and why it was not sent to some. Pure."""

from collections.abc import Sequence

from watcher.core.events import TASK_ALERTS
from watcher.core.reading import ChannelFate, TaskEvent
from watcher.core.routing import RoutingContext, matches, route_events, why_not
from watcher.core.settings import RouteSettings
from watcher.core.tasks import TERMINAL_STATUSES, Watch


def fates(
    event: TaskEvent, watch: Watch, routes: Sequence[RouteSettings], channels: Sequence[str]
) -> list[ChannelFate]:
    """Return what became of an event about `watch`: for the configured `channels` in their order,
    then for others that it was routed to.

    Why something was not sent is computed from `routes`, which may have changed since.
    """
    sent = {one.delivery.channel: one for one in event.deliveries}
    routed = (*event.channels, *sent)
    found = []
    for channel in dict.fromkeys((*channels, *routed)):
        if channel in sent:
            reason = None
        elif channel in event.channels:
            reason = "its delivery was removed"
        else:
            reason = _not_routed(channel, _context(event, watch), routes)
        found.append(ChannelFate(channel=channel, sent=sent.get(channel), not_sent=reason))
    return found


def _context(event: TaskEvent, watch: Watch) -> RoutingContext:
    is_first = event.previous_status is None and event.type not in TASK_ALERTS
    return RoutingContext(
        type=event.type,
        source=watch.key.source,
        namespace=watch.namespace,
        task_type=watch.task_type,
        previous_status=event.previous_status,
        labels=watch.labels,
        silent=is_first and event.status not in TERMINAL_STATUSES,
    )


def _not_routed(channel: str, context: RoutingContext, routes: Sequence[RouteSettings]) -> str:
    leading = [route for route in routes if channel in route.channels]
    if not leading:
        return "no route leads to it"
    of_type = [route for route in leading if _takes(route, context.type)]
    if not of_type:
        return f"no route sends {context.type} to it"
    reasons = [why_not(route, context) for route in of_type]
    if None in reasons:
        return "no route sent it to it then; as routes are now, one would"
    return "; ".join(dict.fromkeys(reason for reason in reasons if reason is not None))


def _takes(route: RouteSettings, kind: str) -> bool:
    events = route_events(route)
    return events is None or matches(events, kind)
