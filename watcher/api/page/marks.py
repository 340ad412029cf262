"""How a state looks: a shape, a colour and a word, which says the same without the other two."""

from dataclasses import dataclass

from watcher.core.deliveries import DeliveryState


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """`icon` is the ID of a symbol of the page, `tone` a class of its style sheet."""

    icon: str
    tone: str
    word: str


OK, BAD, WARN = ("i-ok", "ok"), ("i-bad", "bad"), ("i-warn", "warn")
RUN, IDLE, STOP = ("i-run", "run"), ("i-idle", "idle"), ("i-stop", "idle")
LOST, WAIT, HOLD = ("i-lost", "gone"), ("i-wait", "warn"), ("i-hold", "idle")
PENDING = ("i-wait", "run")


def mark(look: tuple[str, str], word: str) -> Mark:
    """Return a mark of one of these looks."""
    return Mark(icon=look[0], tone=look[1], word=word)


_STATUSES = {
    "PENDING": mark(IDLE, "Pending"),
    "QUEUED": mark(IDLE, "Queued"),
    "IN_PROGRESS": mark(RUN, "In progress"),
    "PROCESSING": mark(RUN, "Processing"),
    "COMPLETED": mark(OK, "Completed"),
    "COMPLETED_WITH_ERRORS": mark(WARN, "Partly failed"),
    "FAILED": mark(BAD, "Failed"),
    "CANCELED": mark(STOP, "Canceled"),
    "SKIPPED": mark(STOP, "Skipped"),
}
_CHANNELS = {
    "running": mark(OK, "running"),
    "failing": mark(BAD, "failing"),
    "stopped": mark(BAD, "stopped"),
    "off": mark(BAD, "off"),
    "paused": mark(HOLD, "paused"),
}
_DELIVERIES = {
    DeliveryState.PENDING: mark(PENDING, "waiting"),
    DeliveryState.DELIVERED: mark(OK, "delivered"),
    DeliveryState.FAILED: mark(BAD, "failed"),
}


def of_status(status: str | None) -> Mark:
    """Return the mark of a task's status; None for a task that was not seen yet."""
    if status is None:
        return mark(IDLE, "Not seen yet")
    return _STATUSES.get(status) or mark(IDLE, status)


def of_channel(state: str) -> Mark:
    """Return the mark of a channel's state."""
    return _CHANNELS.get(state) or mark(IDLE, state)


def of_delivery(state: DeliveryState) -> Mark:
    """Return the mark of a delivery's state."""
    return _DELIVERIES[state]
