"""The connections of one listener: how many there are, and which one is closed for another."""

import heapq
from typing import Protocol

from watcher.api.turns import Account, Clock

MOST_CONNECTIONS = 256
"""Connections of one listener."""
MOST_BYTES = 8 * 1024 * 1024
"""Bytes that all of them together may send of unfinished requests, or leave unread."""
_CLOSED_AT_ONCE = 1 / 32
"""Share that is closed when there are too many, because finding one costs as much as some."""


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
    def urgency(self) -> int | None:
        """How readily it is closed for another one, the highest first; None: not at all."""
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

    def enter(self, connection: Held, group: str) -> bool:
        """Count `connection`; at the limit, close another one for it. False: there is none."""
        if len(self._held) >= self._most and not self.make_room():
            return False
        self._peers.setdefault(group, connection.peer)
        connection.peer.connections += 1
        self._held[connection] = group
        return True

    def leave(self, connection: Held) -> None:
        """Count `connection` no longer."""
        self._total -= self._bytes.pop(connection, 0)
        group = self._held.pop(connection, None)
        if group is not None:
            connection.peer.connections -= 1
            if not connection.peer.connections:
                self._peers.pop(group, None)

    def make_room(self) -> bool:
        """Close some that have waited longest, of the peer with the most of them."""
        waiting = [one for one in self._held if one.urgency is not None]
        at_once = max(int(self._most * _CLOSED_AT_ONCE), 1)
        for one in heapq.nsmallest(at_once, waiting, key=_eagerness):
            self.leave(one)
            one.abort()
        return bool(waiting)

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
            last = min(self._bytes, key=lambda one: one.since)
            self.leave(last)
            last.abort()

    def close_waiting(self) -> None:
        """Close those on which no request is being worked on."""
        for connection in [one for one in self._held if one.urgency is not None]:
            self.leave(connection)
            connection.abort()


def _eagerness(connection: Held) -> tuple[int, int, float]:
    return -connection.peer.connections, -(connection.urgency or 0), connection.since
