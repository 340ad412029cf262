"""When an outage of a source or a channel is opened, announced and closed: one rule for both, pure.

    stored outage    observed                     action
    none             up, no alert                 nothing
    none             failing, alert not due       OPEN: store it
    none             failing, alert due           ANNOUNCE: store it with its alert event
    not announced    failing, alert not due       nothing
    not announced    failing, alert due           ANNOUNCE
    announced        failing                      nothing
    not announced    up                           CLOSE: delete it
    announced        up                           CLOSE: delete it with its recovery event

The caller stores the result in one transaction with the event, so that a restart neither repeats
nor forgets an announcement.
"""

from dataclasses import dataclass, replace
from enum import Enum


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A source or a channel fails since `since`; `alerted_at` is when that was announced, None
    before.

    `subject` is what fails, under the key that its events are ordered by: `channel backend`,
    `source mixpeek`. Times are Unix seconds.
    """

    subject: str
    since: float
    alerted_at: float | None = None


class OutageAction(Enum):
    """What an observation changes in the store."""

    OPEN = "open"
    ANNOUNCE = "announce"
    CLOSE = "close"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutageStep:
    """`outage` is the outage to store, or with `CLOSE` the one to delete.

    `send_event` is True if an event goes with it: the alert, or the recovery of an announced
    outage.
    """

    action: OutageAction
    outage: Outage
    send_event: bool


def restored(stored: Outage | None, now: float) -> Outage | None:
    """Return an outage that was stored before a restart. If the clock was set back meanwhile, it
    begins now: else its alert would be late by as much.
    """
    return None if stored is None else replace(stored, since=min(stored.since, now))


def next_step(
    stored: Outage | None, *, subject: str, failing_since: float | None, alert_due: bool, now: float
) -> OutageStep | None:
    """Return what to store, None for nothing. `failing_since` is None while the subject is up."""
    if failing_since is None:
        if stored is None:
            return None
        return OutageStep(
            action=OutageAction.CLOSE, outage=stored, send_event=stored.alerted_at is not None
        )
    outage = stored or Outage(subject=subject, since=failing_since)
    if alert_due and outage.alerted_at is None:
        return OutageStep(
            action=OutageAction.ANNOUNCE, outage=replace(outage, alerted_at=now), send_event=True
        )
    return (
        OutageStep(action=OutageAction.OPEN, outage=outage, send_event=False)
        if stored is None
        else None
    )
