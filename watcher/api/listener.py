"""What the connections of a listener share."""

from collections.abc import Callable
from dataclasses import dataclass
from ssl import SSLContext

import uvicorn
from uvicorn.server import ServerState

from watcher.api.connections import MOST_CONNECTIONS, Connections
from watcher.api.rejections import Rejections
from watcher.api.turns import Turns


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a listener accepts of its clients."""

    request_within: float = 20.0
    """Seconds within which a request must arrive, headers and body."""
    read_within: float = 30.0
    """Seconds that a response may wait for its reader."""
    most_connections: int = MOST_CONNECTIONS


@dataclass(frozen=True, kw_only=True)
class Listener:
    """Its limits, and what it counts."""

    config: uvicorn.Config
    state: ServerState
    turns: Turns
    connections: Connections
    rejections: Rejections
    limits: Limits
    tls: Callable[[], SSLContext | None]
    """Return the context of the next connection, if any."""
    buffer: memoryview
    """Into which each of them reads: what was read is taken out at once."""
