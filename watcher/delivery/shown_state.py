"""The state of a channel as users see it."""

from functools import partial

from watcher.core.channels import ChannelState, Suspension
from watcher.core.clock import rfc3339
from watcher.core.settings import ChannelSettings
from watcher.delivery.receiver_record import ReceiverRecord


def shown_state(
    settings: ChannelSettings,
    suspension: Suspension | None,
    record: ReceiverRecord,
    waits_until: float | None,
) -> ChannelState:
    """Return the state. `waits_until` is the Unix time before which nothing may be sent; None
    without a cooldown.
    """
    state = partial(ChannelState, name=settings.name, type=settings.type)
    if suspension is not None:
        return state(state=suspension.kind, reason=suspension.reason, since=suspension.since)
    since, error = record.failing_since, record.last_error
    reason = None if error is None or since is None else str(error)
    if waits_until is not None:
        reason = f"waiting until {rfc3339(waits_until)}, because: {reason or 'Retry-After'}"
    return state(state="running" if since is None else "failing", reason=reason, since=since)
