"""The connections of one listener: how many there are, and which one is closed for another."""

import heapq
from collections.abc import Iterable
from enum import IntEnum
from typing import Protocol

from watcher.api.turns import Account, Clock

MOST_CONNECTIONS = 256
"""Connections of one listener."""
MOST_BYTES = 8 * 1024 * 1024
"""Bytes that all of them together may send of unfinished requests, or leave unread."""
_CLOSED_AT_ONCE = 1 / 32
"""Share that is closed when there are too many, because finding one costs as much as some."""


class Urgency(IntEnum):
    """How readily a connection is closed for another one, the last kind first."""

    FRESH = 0
    """Was accepted a moment ago, and has not been read."""
    BUSY = 1
    """A body or more requests are arriving, or a response is not read."""
    PARTIAL = 2
    """Has sent a part of a request's head."""
    SILENT = 3
    """Has sent nothing since it was accepted, or since its last response."""
    ENDING = 4
    """Has been answered, and only has to be closed."""


class Peer:
    """Who connects, as `group_of` has it."""

    def __init__(self, clock: Clock) -> None:
        self.account = Account(clock)
        self.connections = 0


class Held(Protocol):
    """A connection, as far as its listener decides about it."""

    peer: Peer
    since: float
    """Since when it waits for its client."""

    @property
    def urgency(self) -> Urgency | None:
        """How readily it is closed for another one; None: not at all."""
        ...

    def abort(self) -> None:
        """Close it at once; it leaves then."""
        ...


class Connections:
    """Those of one listener, by peer."""

    def __init__(self, clock: Clock, most: int = MOST_CONNECTIONS) -> None:
        self._clock = clock
        self._most = most
        self._peers: dict[str, Peer] = {}
        self._held: dict[Held, str] = {}
        self._bytes: dict[Held, int] = {}
        self._total = 0

    def __len__(self) -> int:
        return len(self._held)

    def peer(self, group: str) -> Peer:
        """Return the peer of this group."""
        return self._peers.get(group) or Peer(self._clock)

    def is_full(self) -> bool:
        """Return whether there is no place, and no connection that can be closed for another."""
        return len(self._held) >= self._most and all(one.urgency is None for one in self._held)

    def enter(self, connection: Held, group: str) -> None:
        """Count `connection`; at the limit, close others for it."""
        if len(self._held) >= self._most:
            self.make_room()
        self._peers.setdefault(group, connection.peer)
        connection.peer.connections += 1
        self._held[connection] = group

    def leave(self, connection: Held) -> None:
        """Count `connection` no longer."""
        self._total -= self._bytes.pop(connection, 0)
        group = self._held.pop(connection, None)
        if group is not None:
            connection.peer.connections -= 1
            if not connection.peer.connections:
                self._peers.pop(group, None)

    def make_room(self) -> None:
        """Close some of the peer with the most: of the most urgent kind, the longest waiting."""
        waiting = [one for one in self._held if one.urgency is not None]
        at_once = max(int(self._most * _CLOSED_AT_ONCE), 1)
        self._close(heapq.nsmallest(at_once, waiting, key=_eagerness))

    def holds(self, connection: Held, size: int) -> None:
        """Note the bytes held for a client that has not finished sending, or does not read.

        If they are too many, the connections that have waited longest with some are closed.
        """
        if connection not in self._held:
            return
        self._total += size - self._bytes.pop(connection, 0)
        if size:
            self._bytes[connection] = size
        while self._total > MOST_BYTES:
            self._close([min(self._bytes, key=lambda one: one.since)])

    def close_waiting(self) -> None:
        """Close those on which no request is being worked on."""
        self._close([one for one in self._held if one.urgency is not None])

    def close_all(self) -> None:
        """Close all of them, at once."""
        self._close(list(self._held))

    def _close(self, connections: Iterable[Held]) -> None:
        for connection in connections:
            self.leave(connection)
            connection.abort()


def _eagerness(connection: Held) -> tuple[int, int, float]:
    return -connection.peer.connections, -(connection.urgency or 0), connection.since
