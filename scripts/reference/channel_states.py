"""The states of a channel, from the table that the code's tests walk."""

from scripts.reference.markdown import code, page, table
from watcher.delivery.phases import SENDS, TRANSITIONS

INTRODUCTION = """
`tests/delivery/test_phases.py` walks every transition. *Paused*, *stopped* and *off* are stored
and survive a restart. Independently of its state, a receiver that answers 429 or 502 to 504, or
names a `Retry-After`, gets nothing for the time it names, else for 1 s, doubling up to 30 s.
"""
EVENTS = """
`channel.failing` is sent after `alert_after`, `channel.recovered` if `channel.failing` or
`channel.stopped` was sent before.
"""
PENDING = """
In every state, the oldest pending deliveries end as `failed` where the backlog exceeds the
channel's share of `store.max_size`; other channels receive one `channel.failing` about it.
"""


def channel_states() -> str:
    transitions = (
        [
            ", ".join(row.before),
            row.trigger,
            row.after or "the state before",
            code(row.notification) if row.notification else "",
        ]
        for row in TRANSITIONS
    )
    return page(
        "States of a channel",
        INTRODUCTION,
        table(["state", "sends"], SENDS.items()),
        PENDING,
        "## Transitions",
        EVENTS,
        table(["in state", "event", "new state", "other channels receive"], transitions),
    )
