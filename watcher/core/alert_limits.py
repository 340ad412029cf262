"""From when on silence of a source, or a pending delivery, needs a person. Pure.

Alerts, the status and the heartbeat agree on these, so that none is wrong for a legal setting.
"""

from watcher.core.settings import PollingSettings, SourceSettings

SHORTEST_ANSWER_LIMIT = 900.0
"""Seconds for which a source may answer nothing before an alert."""
SHORTEST_DELAY_LIMIT = 30.0
"""Seconds by which polls may be late before the status shows it."""
DEFAULT_ALERT_AFTER = 300.0
"""Seconds for which a delivery may be pending, as `alert_after` has it by default."""


def answer_limit(source: SourceSettings, polling: PollingSettings) -> float:
    """Return the seconds for which a source may answer nothing although polls are due.

    After a failure the next poll may follow after `max_interval` only, and take `timeout`; a source
    is not down before `unreachable_after`.
    """
    return 2 * polling.max_interval + source.unreachable_after + source.timeout


def delay_limit(max_interval: float) -> float:
    """Return the seconds by which polls may be late: one that is late by less than the longest
    interval is seldom noticed.
    """
    return max(max_interval, SHORTEST_DELAY_LIMIT)
