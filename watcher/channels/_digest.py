"""When a channel for people combines several events in one message."""

from collections.abc import Sequence

from watcher.channels._text import is_about_a_task
from watcher.core.deliveries import Message

DIGEST_MOST = 1000
"""Maximum number of events in one message."""

ATTENTION_EVENTS = (
    "task.failed",
    "task.canceled",
    "task.completed_with_errors",
    "task.lost",
    "task.stalled",
    "source.*",
    "channel.*",
)
"""Events that require attention: what such a channel receives without a route."""


def digest_slice(waiting: Sequence[int], above: int | None) -> Sequence[int]:
    """Return the whole of `waiting` if it is longer than `above`, otherwise its first element."""
    return waiting[:DIGEST_MOST] if above is not None and len(waiting) > above else waiting[:1]


def choose_tasks(waiting: Sequence[Message], above: int | None) -> Sequence[int]:
    """Return the events of tasks to combine. An outage and its end are sent alone, because each
    belongs to the other.
    """
    if not is_about_a_task(waiting[0]):
        return [0]
    return digest_slice(
        [index for index, message in enumerate(waiting) if is_about_a_task(message)], above
    )
