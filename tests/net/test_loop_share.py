"""The share of the loop: with a clock of the test, and turns that the test makes."""

from collections.abc import Callable

from watcher.net.loop_share import PIECE, LoopShare


class Turns:
    """A loop and a clock."""

    def __init__(self) -> None:
        self.time = 0.0
        self.waiting: list[Callable[[], None]] = []
        self.share = LoopShare(self.waiting.append, lambda: self.time)

    def turn(self) -> None:
        waiting, self.waiting[:] = list(self.waiting), []
        for call in waiting:
            call()


class Peer:
    """A connection whose pieces take `cost` seconds each."""

    def __init__(self, turns: Turns, name: str, served: list[str], cost: float) -> None:
        self.received_bytes = 0
        self.pieces = 5
        self._turns = turns
        self._name = name
        self._served = served
        self._cost = cost

    def process_piece(self) -> bool:
        self._turns.time += self._cost
        self.received_bytes += PIECE
        self.pieces -= 1
        self._served.append(self._name)
        return self.pieces > 0


def test_a_turn_has_ten_ms_and_those_who_wait_alternate() -> None:
    turns, served = Turns(), list[str]()
    for name in "abc":
        turns.share.enqueue(Peer(turns, name, served, cost=0.006))
    turns.turn()
    assert served == ["a", "b"]
    turns.turn()
    assert served == ["a", "b", "c", "a"]
    for _ in range(20):
        turns.turn()
    assert sorted(served) == sorted("abc" * 5)
    assert not turns.waiting


def test_who_has_received_little_comes_first() -> None:
    turns, served = Turns(), list[str]()
    for name in "ab":
        turns.share.enqueue(Peer(turns, name, served, cost=0.02))
    for _ in range(3):
        turns.turn()
    turns.share.enqueue(Peer(turns, "new", served, cost=0.02))
    turns.turn()
    assert served[-1] == "new"


def test_time_that_is_used_directly_counts_in_its_turn_only() -> None:
    turns = Turns()

    def work(_: bytes) -> None:
        turns.time += 0.006

    turns.share.run(work, b"")
    assert turns.share.free
    turns.share.run(work, b"")
    assert not turns.share.free
    turns.turn()
    assert turns.share.free
    turns.turn()
    assert not turns.waiting
