"""Which attempts begin first: a few in each turn of the loop, and those that will end soon."""

import anyio
import pytest

from tests.support.virtual_time import VirtualLoop
from watcher.delivery.attempt_order import LONGEST, PER_TURN, AttemptOrder, ExpectedDuration

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"loop_factory": VirtualLoop}


class _Starts:
    """Which attempts have begun, in order, each in which turn of the loop."""

    def __init__(self) -> None:
        self.now = 0.0
        self.order = AttemptOrder(lambda: self.now)
        self.begun: list[tuple[str, int]] = []
        self.turn = 0

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.begun]

    async def begin(self, name: str, expected: float) -> None:
        await self.order.begin(expected)
        self.begun.append((name, self.turn))

    async def count_turns(self) -> None:
        while True:
            await anyio.lowlevel.checkpoint()
            self.turn += 1


async def test_a_few_attempts_begin_in_each_turn() -> None:
    starts = _Starts()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(starts.count_turns)
        async with anyio.create_task_group() as attempts:
            for number in range(10 * PER_TURN):
                attempts.start_soon(starts.begin, str(number), 0.0)
        tasks.cancel_scope.cancel()

    turns = [turn for _, turn in starts.begun]
    assert max(turns.count(turn) for turn in turns) <= PER_TURN
    assert starts.names == [str(number) for number in range(10 * PER_TURN)]


async def test_those_that_will_end_soon_begin_first() -> None:
    starts = _Starts()
    async with anyio.create_task_group() as tasks:
        for number in range(PER_TURN):
            tasks.start_soon(starts.begin, f"first {number}", LONGEST)
        for name, expected in [("slow", 0.2), ("failing", LONGEST), ("fast", 0.003)]:
            tasks.start_soon(starts.begin, name, expected)

    assert starts.names[PER_TURN:] == ["fast", "slow", "failing"]


async def test_an_attempt_that_has_waited_is_not_overtaken() -> None:
    starts = _Starts()
    async with anyio.create_task_group() as tasks:
        for number in range(3 * PER_TURN):
            tasks.start_soon(starts.begin, f"fast {number}", 0.0)
        tasks.start_soon(starts.begin, "slow", 3600.0)
        await anyio.lowlevel.checkpoint()
        starts.now += LONGEST + 0.001
        for number in range(2 * PER_TURN):
            tasks.start_soon(starts.begin, f"later {number}", 0.0)

    assert starts.names[3 * PER_TURN :][:2] == ["slow", "later 0"]


async def test_a_cancelled_attempt_takes_no_place() -> None:
    starts = _Starts()
    async with anyio.create_task_group() as tasks:
        for number in range(PER_TURN):
            tasks.start_soon(starts.begin, f"first {number}", 0.0)
        async with anyio.create_task_group() as cancelled:
            for number in range(2 * PER_TURN):
                cancelled.start_soon(starts.begin, f"cancelled {number}", 0.0)
            tasks.start_soon(starts.begin, "kept", LONGEST)
            cancelled.cancel_scope.cancel()

    assert starts.names == [*(f"first {number}" for number in range(PER_TURN)), "kept"]


def test_what_is_expected_follows_the_last_attempts() -> None:
    expected = ExpectedDuration()
    for _ in range(20):
        expected.observe(0.01, delivered=True)
    healthy = expected.seconds
    assert 0.009 < healthy <= 0.01
    expected.observe(0.001, delivered=False)
    assert healthy < expected.seconds < LONGEST / 2, "one failure is not yet a habit"
    for _ in range(20):
        expected.observe(30.0, delivered=True)
    assert LONGEST * 0.95 < expected.seconds <= LONGEST
