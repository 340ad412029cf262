"""The share of the loop: with a clock of the test, and turns that the test makes."""

from collections.abc import Callable, Iterator

import anyio
import pytest

from watcher.net.loop_share import LONGEST_REST, PER_TURN, PIECE, REST, LoopShare


class Turns:
    """A loop and a clock."""

    def __init__(self) -> None:
        self.time = 0.0
        self.waiting: list[Callable[[], None]] = []
        self.rests: list[tuple[float, Callable[[], None]]] = []
        self.share = LoopShare(
            self.waiting.append, lambda *rest: self.rests.append(rest), lambda: self.time
        )

    def turn(self) -> None:
        waiting, self.waiting[:] = list(self.waiting), []
        for call in waiting:
            call()

    def rest(self) -> float:
        """Let the rest pass; return how long it is."""
        ((seconds, call),) = self.rests
        self.rests.clear()
        self.time += seconds
        call()
        return seconds


class Peer:
    """A connection whose pieces take `cost` seconds each."""

    def __init__(
        self, turns: Turns, name: str, served: list[str], cost: float, received: int = PIECE
    ) -> None:
        self.received_bytes = received
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


def test_a_turn_has_one_ms_and_those_who_wait_take_turns() -> None:
    turns, served = Turns(), list[str]()
    for name in "abc":
        turns.share.enqueue(Peer(turns, name, served, cost=0.0006))
    for done in (["a", "b"], ["a", "b", "c", "a"]):
        turns.turn()
        assert served == done
        turns.turn()
        turns.rest()
    while turns.waiting or turns.rests:
        turns.turn()
        if turns.rests:
            turns.rest()
    assert sorted(served) == sorted("abc" * 5)
    assert turns.share.free


def test_the_loop_rests_longer_than_a_turn_and_what_followed_it_took() -> None:
    turns = Turns()
    turns.share.enqueue(Peer(turns, "a", [], cost=0.002))
    turns.turn()
    turns.time += 0.003  # the reader of what was processed
    turns.turn()
    assert not turns.waiting, "nothing is processed while the loop rests"
    assert turns.rest() == pytest.approx(REST * 0.005)
    turns.turn()
    turns.time += 60  # the machine was suspended
    turns.turn()
    assert turns.rest() == LONGEST_REST


def test_short_turns_add_up_to_a_rest() -> None:
    turns = Turns()
    peer = Peer(turns, "a", [], cost=PER_TURN / 3)
    peer.pieces = 2
    turns.share.run(lambda _: None, b"")
    turns.time += PER_TURN / 2
    turns.turn()
    assert turns.share.free
    turns.share.enqueue(peer)
    turns.turn()
    turns.turn()
    assert turns.rest() == pytest.approx(REST * PER_TURN * 7 / 6)
    assert turns.share.free


def test_who_has_received_little_alternates_with_the_others() -> None:
    turns, served = Turns(), list[str]()
    for name in "ab":
        turns.share.enqueue(Peer(turns, name, served, cost=0.02))
    for _ in range(2):
        turns.turn()
        turns.turn()
        turns.rest()
    for name in ("new 1", "new 2"):
        turns.share.enqueue(Peer(turns, name, served, cost=0.02, received=0))
    for _ in range(4):
        turns.turn()
        turns.turn()
        turns.rest()
    assert [name.split()[0] for name in served[2:]] in (
        ["new", "a", "new", "b"],
        ["a", "new", "b", "new"],
    )


def test_while_the_loop_rests_nothing_is_free() -> None:
    turns, done = Turns(), list[bytes]()
    assert turns.share.free
    turns.share.run(done.append, b"1")
    assert not turns.share.free
    turns.share.run(done.append, b"2")
    assert done == [b"1", b"2"]
    turns.turn()
    assert turns.share.free


def test_an_unexpected_error_of_one_connection_stops_no_other() -> None:
    class Broken(Peer):
        def process_piece(self) -> bool:
            raise ValueError

    def fail(_: bytes) -> None:
        raise ValueError

    turns, served = Turns(), list[str]()
    turns.share.enqueue(Broken(turns, "broken", served, cost=0.0))
    turns.share.enqueue(Peer(turns, "sound", served, cost=PER_TURN))
    with pytest.raises(ValueError):
        turns.turn()
    turns.turn()
    turns.turn()
    assert served == ["sound"]

    direct = Turns()
    with pytest.raises(ValueError):
        direct.share.run(fail, b"x")
    direct.turn()
    assert direct.share.free


@pytest.mark.anyio
async def test_pieces_of_a_body_are_made_in_turns() -> None:
    turns, made = Turns(), list[bytes | None]()

    def pieces() -> Iterator[bytes]:
        for number in range(2):
            turns.time += PER_TURN
            yield b"%d" % number
        raise ValueError

    made_from = pieces()

    async def read() -> None:
        made.append(await turns.share.next_piece(made_from))

    for count in (1, 2):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            assert len(made) == count - 1
            turns.turn()
        turns.turn()
        turns.rest()
    assert made == [b"0", b"1"]
    with anyio.move_on_after(0):
        await turns.share.next_piece(made_from)
    turns.turn()  # it was cancelled: it is not made
    turns.turn()
    failed: list[Exception] = []

    async def fail() -> None:
        try:
            await turns.share.next_piece(made_from)
        except ValueError as error:
            failed.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(fail)
        await anyio.wait_all_tasks_blocked()
        turns.turn()
    assert failed
