"""Which connection is closed for another one."""

from watcher.api.connections import MOST_BYTES, Connections, Peer
from watcher.api.turns import Account

SILENT, SENDING, WORKING = 3, 2, None


class Held:
    """A connection that says how readily it is closed."""

    def __init__(self, peer: Peer, urgency: int | None, since: float) -> None:
        self.peer = peer
        self.urgency = urgency
        self.since = since
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True


class Site:
    """A listener that holds eight connections."""

    def __init__(self) -> None:
        self.connections = Connections(lambda: 0.0, most=8)
        self.time = 0.0

    def connect(self, host: str, urgency: int | None = SILENT) -> Held | None:
        peer = self.connections.peer(host)
        self.time += 1
        held = Held(peer, urgency, self.time)
        return held if self.connections.enter(held, host) else None


def aborted(held: list[Held | None]) -> list[int]:
    return [number for number, one in enumerate(held) if one is not None and one.aborted]


def test_the_newest_always_finds_room_among_silent_ones() -> None:
    site = Site()
    held = [site.connect("127.0.0.1") for _ in range(1100)]
    assert None not in held
    assert len(site.connections) <= 8
    newest = held[-1]
    assert newest is not None
    assert not newest.aborted


def test_the_peer_with_the_most_loses_its_silent_ones_first() -> None:
    site = Site()
    quiet = site.connect("10.0.0.9")
    held = [site.connect("10.0.0.1", SENDING) for _ in range(4)]
    held += [site.connect("10.0.0.1") for _ in range(3)]
    for _ in range(4):
        site.connect("10.0.0.1")
    assert aborted(held) == [4, 5, 6]
    assert quiet is not None
    assert not quiet.aborted


def test_what_is_worked_on_is_not_closed() -> None:
    site = Site()
    held = [site.connect("10.0.0.1", WORKING) for _ in range(8)]
    assert site.connect("10.0.0.2") is None
    assert aborted(held) == []
    assert held[0] is not None
    site.connections.leave(held[0])
    assert site.connect("10.0.0.2") is not None


def test_the_oldest_holders_of_much_memory_are_closed() -> None:
    site = Site()
    held = [site.connect(f"10.0.0.{number}") for number in range(5)]
    for one in held:
        assert one is not None
        site.connections.holds(one, MOST_BYTES // 4)
    assert aborted(held) == [0]
    assert held[1] is not None
    site.connections.holds(held[1], 0)
    last = site.connect("10.0.0.9")
    assert last is not None
    site.connections.holds(last, MOST_BYTES // 4)
    assert aborted(held) == [0]


def test_an_account_belongs_to_the_peer() -> None:
    site = Site()
    first, second = site.connect("10.0.0.1"), site.connect("10.0.0.1")
    assert first is not None
    assert second is not None
    assert isinstance(first.peer.account, Account)
    assert first.peer is second.peer
