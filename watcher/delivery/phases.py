"""The state machine of a channel. The tests check the code against each row of `TRANSITIONS`.

A running or failing channel may also be in a cooldown (429, 502 to 504, `Retry-After`), which only
delays its deliveries.
"""

from enum import StrEnum
from typing import NamedTuple


class Phase(StrEnum):
    """What a channel may send now."""

    RUNNING = "running"
    FAILING = "failing"
    BREAKER_OPEN = "breaker open"
    OFF = "off"
    STOPPED = "stopped"
    PAUSED = "paused"


class PhaseTransition(NamedTuple):
    """One row of the state machine.

    `before` are the phases in which `trigger` has this effect. `after` None means the phase before
    the suspension. `notification` is the type of the event that other channels receive: for a
    failing channel once it has failed for `alert_after`, for a recovered one if its outage was
    announced.
    """

    before: tuple[Phase, ...]
    trigger: str
    after: Phase | None
    notification: str | None = None


_NOT_SUSPENDED = (Phase.RUNNING, Phase.FAILING, Phase.BREAKER_OPEN)
_SUSPENDED = (Phase.OFF, Phase.STOPPED, Phase.PAUSED)

TRANSITIONS = (
    PhaseTransition((Phase.RUNNING,), "an attempt fails", Phase.FAILING, "channel.failing"),
    PhaseTransition((Phase.FAILING,), "ten attempts in a row fail", Phase.BREAKER_OPEN),
    PhaseTransition(
        (Phase.RUNNING,),
        "five deliveries in a row are rejected",
        Phase.BREAKER_OPEN,
        "channel.failing",
    ),
    PhaseTransition(
        (Phase.FAILING, Phase.BREAKER_OPEN),
        "an attempt succeeds",
        Phase.RUNNING,
        "channel.recovered",
    ),
    PhaseTransition(
        (Phase.FAILING, Phase.BREAKER_OPEN),
        "three days without a success",
        Phase.OFF,
        "channel.stopped",
    ),
    PhaseTransition((Phase.OFF,), "a probe succeeds", Phase.RUNNING, "channel.recovered"),
    PhaseTransition(
        (*_NOT_SUSPENDED, Phase.OFF), "the receiver answers 410", Phase.STOPPED, "channel.stopped"
    ),
    PhaseTransition((*_NOT_SUSPENDED, *_SUSPENDED), "an operator pauses the channel", Phase.PAUSED),
    PhaseTransition((Phase.OFF, Phase.PAUSED), "an operator resumes the channel", None),
    PhaseTransition((Phase.STOPPED,), "an operator resumes the channel", None, "channel.recovered"),
    PhaseTransition((Phase.OFF,), "its settings change", None),
    PhaseTransition((Phase.STOPPED,), "its settings change", None, "channel.recovered"),
)

SENDS = {
    Phase.RUNNING: "everything due: `concurrency` at once, within `rate`",
    Phase.FAILING: "everything due",
    Phase.BREAKER_OPEN: "one probe after 1 s, doubling to 30 s; after rejections one a minute",
    Phase.OFF: "one probe every 45 s, which uses no attempt",
    Phase.STOPPED: "nothing",
    Phase.PAUSED: "nothing",
}
"""What is sent in each phase, for the documentation."""
