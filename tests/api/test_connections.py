"""Which connection is closed for another one."""

from watcher.api.connections import MOST_BYTES, Connections, Peer, Urgency
from watcher.api.turns import Account

SILENT, SENDING, FRESH, WORKING = Urgency.SILENT, Urgency.PARTIAL, Urgency.FRESH, None


class Held:
    """A connection that says how readily it is closed."""

    def __init__(self, peer: Peer, urgency: Urgency | None, since: float) -> None:
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

    def connect(self, host: str, urgency: Urgency | None = SILENT) -> Held:
        held = Held(self.connections.peer(host), urgency, self.time)
        self.time += 1
        self.connections.enter(held, host)
        return held


def aborted(held: list[Held]) -> list[int]:
    return [number for number, one in enumerate(held) if one.aborted]


def test_the_newest_always_finds_room_among_silent_ones() -> None:
    site = Site()
    held = [site.connect("127.0.0.1") for _ in range(1100)]
    assert len(site.connections) <= 8
    assert not held[-1].aborted


def test_the_newest_always_finds_room_among_those_that_sent_half_a_request() -> None:
    """… and is not the one that gives way for the next, before it was read."""
    site = Site()
    held = [site.connect("127.0.0.1", SENDING) for _ in range(8)]
    fresh = [site.connect("127.0.0.1", FRESH) for _ in range(20)]
    assert aborted(held) == list(range(8))
    assert aborted(fresh) == list(range(12))


def test_the_peer_with_the_most_loses_its_silent_ones_first() -> None:
    site = Site()
    quiet = site.connect("10.0.0.9")
    held = [site.connect("10.0.0.1", SENDING) for _ in range(4)]
    held += [site.connect("10.0.0.1") for _ in range(3)]
    for _ in range(4):
        site.connect("10.0.0.1")
    assert aborted(held) == [4, 5, 6]
    assert not quiet.aborted


def test_what_is_worked_on_is_not_closed() -> None:
    site = Site()
    held = [site.connect("10.0.0.1", WORKING) for _ in range(7)]
    assert not site.connections.is_full()
    held.append(site.connect("10.0.0.1"))
    assert not site.connections.is_full()
    held[7].urgency = WORKING
    assert site.connections.is_full()
    site.connections.make_room()
    assert aborted(held) == []
    site.connections.leave(held[0])
    assert not site.connections.is_full()


def test_the_oldest_holders_of_much_memory_are_closed() -> None:
    site = Site()
    held = [site.connect(f"10.0.0.{number}") for number in range(5)]
    for one in held:
        site.connections.holds(one, MOST_BYTES // 4)
    assert aborted(held) == [0]
    site.connections.holds(held[1], 0)
    last = site.connect("10.0.0.9")
    site.connections.holds(last, MOST_BYTES // 4)
    assert aborted(held) == [0]


def test_an_account_belongs_to_the_peer() -> None:
    site = Site()
    first, second = site.connect("10.0.0.1"), site.connect("10.0.0.1")
    assert isinstance(first.peer.account, Account)
    assert first.peer is second.peer
