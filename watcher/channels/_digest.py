"""When several messages become one: what every channel that people read has in common."""

from collections.abc import Sequence

DIGEST_MOST = 1000
"""So many events one message may tell."""

ATTENTION_EVENTS = (
    "task.failed",
    "task.completed_with_errors",
    "task.lost",
    "task.stalled",
    "source.*",
    "channel.*",
)
"""What needs a person: the events that such a channel hears where no route says otherwise."""


def digest_slice(waiting: Sequence[int], above: int | None) -> Sequence[int]:
    """Return all of `waiting` where they are more than a person likes to read one by one, else the first alone."""
    return waiting[:DIGEST_MOST] if above is not None and len(waiting) > above else waiting[:1]
