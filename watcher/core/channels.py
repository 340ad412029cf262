"""The state of a channel as records. Times are Unix seconds."""

from dataclasses import dataclass
from enum import StrEnum


class SuspensionKind(StrEnum):
    """Why a channel is suspended."""

    PAUSED = "paused"  # by an operator
    STOPPED = "stopped"  # by its receiver: the endpoint no longer exists
    OFF = "off"  # after days without a success; probes are sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspension:
    """`channel` is suspended since `since` (Unix seconds); `reason` is for people."""

    channel: str
    kind: SuspensionKind
    reason: str
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelState:
    """`state` is `running`, `failing`, `paused`, `stopped` or `off`; `since` is in Unix seconds."""

    name: str
    type: str
    state: str
    reason: str | None = None
    since: float | None = None
