"""The state of a channel as records. Times are Unix seconds."""

from dataclasses import dataclass
from enum import StrEnum


class SuspensionKind(StrEnum):
    """Who keeps a channel from sending."""

    PAUSED = "paused"  # a person
    STOPPED = "stopped"  # the receiver: it is gone, and said so
    OFF = "off"  # nobody: for days nothing but failures came from it, and it is tried now and then


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspension:
    """`channel` is held from `since` (Unix seconds) until it is released; `reason` is meant for people."""

    channel: str
    kind: SuspensionKind
    reason: str
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelState:
    """How a channel does: `running`, `failing`, `paused`, `stopped` or `off`, why, and since when (Unix seconds)."""

    name: str
    type: str
    state: str
    reason: str | None = None
    since: float | None = None
