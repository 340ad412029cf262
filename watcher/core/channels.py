"""The state of a channel, as records. Times are Unix seconds."""

from dataclasses import dataclass
from enum import StrEnum


class SuspensionKind(StrEnum):
    """Why a channel is suspended."""

    PAUSED = "paused"  # by an operator
    STOPPED = "stopped"  # by its receiver: the endpoint no longer exists
    OFF = "off"  # after days without a success; probes are sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspension:
    """`channel` has been suspended since `since`; `reason` is a text for the operator."""

    channel: str
    kind: SuspensionKind
    reason: str
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelState:
    """A channel as users see it. `state` is `running`, `failing` or a `SuspensionKind`."""

    name: str
    type: str
    state: str
    reason: str | None = None
    since: float | None = None
