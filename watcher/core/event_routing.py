"""What routes match of an event that is stored already."""

import msgspec

from watcher.core.routing import RoutingContext
from watcher.core.tasks import TERMINAL_STATUSES


class _Data(msgspec.Struct):
    """The fields of an event's `data` that routes match."""

    source: str | None = None
    channel: str | None = None
    namespace: str | None = None
    task_type: str | None = None
    previous_status: str | None = None
    status: str | None = None
    labels: dict[str, str] | None = None


class _Event(msgspec.Struct):
    type: str
    data: _Data


_decode = msgspec.json.Decoder(_Event).decode
_ALERTS = ("task.lost", "task.stalled")


def context_of(body: bytes) -> tuple[RoutingContext, str | None]:
    """Return what routes match of the event with this body, and the channel that it is about, which
    never receives it.
    """
    event = _decode(body)
    data = event.data
    if not event.type.startswith("task."):
        return RoutingContext(type=event.type, source=data.source), data.channel
    first = data.previous_status is None and event.type not in _ALERTS
    context = RoutingContext(
        type=event.type,
        source=data.source,
        namespace=data.namespace,
        task_type=data.task_type,
        previous_status=data.previous_status,
        labels=data.labels or {},
        silent=first and data.status not in TERMINAL_STATUSES,
    )
    return context, None
