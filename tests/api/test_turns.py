"""The loop's time is shared: by turns, by what each has cost lately, and only a part of it."""

import asyncio
import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.api.turns import BURST, LONGEST_PAUSE, SHARE, Account, Turns, metered


class Clock:
    """Time that passes when something costs some, and a `step` whenever it is read."""

    def __init__(self) -> None:
        self.now = 100.0
        self.step = 0.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now


class Loop:
    """Records what is scheduled, and runs it, with its delay, on the clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.scheduled: list[tuple[float, Callable[[], None]]] = []
        self.paused = 0.0

    def call_soon(self, call: Callable[[], None]) -> object:
        return self.call_later(0.0, call)

    def call_later(self, delay: float, call: Callable[[], None]) -> object:
        self.scheduled.append((delay, call))
        return object()

    def run_one(self) -> None:
        ((delay, call),) = self.scheduled  # one turn per iteration, however many are wanted
        self.scheduled.clear()
        self._clock.now += delay
        self.paused += delay
        call()


class Guest:
    """Costs the same each time, and wants the next turn at once."""

    def __init__(self, name: str, cost: float, site: "Site", *, peer: Account | None) -> None:
        self.accounts = (peer, Account(site.clock)) if peer else (Account(site.clock),)
        self._name = name
        self._cost = cost
        self._site = site

    def take_turn(self) -> None:
        self._site.clock.now += self._cost
        self._site.taken.append(self._name)
        self._site.turns.want(self)


class Site:
    """Turns over that loop."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.loop = Loop(self.clock)
        self.turns = Turns(self.loop, self.clock)  # type: ignore[arg-type]
        self.taken: list[str] = []

    def guest(self, name: str, cost: float, *, peer: Account | None = None) -> Guest:
        guest = Guest(name, cost, self, peer=peer)
        self.turns.want(guest)
        return guest


def test_one_that_costs_much_gets_few_turns_and_one_that_costs_little_many() -> None:
    site = Site()
    site.guest("dear", 0.02)
    site.guest("cheap", 0.001)
    for _ in range(105):
        site.loop.run_one()
    assert site.taken.count("cheap") >= 90


def test_many_connections_of_one_peer_count_together() -> None:
    site = Site()
    crowd = Account(site.clock)
    for number in range(50):
        site.guest(f"crowd {number}", 0.002, peer=crowd)
    site.guest("alone", 0.002, peer=Account(site.clock))
    for _ in range(100):
        site.loop.run_one()
    assert site.taken.count("alone") >= 45


def test_connections_of_one_peer_that_cost_the_same_take_turns_in_their_order() -> None:
    site = Site()
    site.clock.step = 1e-6  # real time passes while they are compared, too
    crowd = Account(site.clock)
    for number in range(5):
        site.guest(str(number), 0.002, peer=crowd)
    for _ in range(5 * 20):
        site.loop.run_one()
    assert [site.taken.count(str(number)) for number in range(5)] == [20] * 5
    assert site.taken[:5] == ["0", "1", "2", "3", "4"]


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(1e-9, 30)), min_size=2, max_size=20))
def test_the_rank_of_accounts_is_the_order_of_their_use(charges: list[tuple[float, float]]) -> None:
    clock = Clock()
    accounts = [Account(clock), Account(clock)]
    for number, (passed, seconds) in enumerate(charges):
        clock.now += passed
        accounts[number % 2].charge(seconds)
    first, second = (account.used() for account in accounts)
    if not math.isclose(first, second, rel_tol=1e-6):
        assert (accounts[0].rank < accounts[1].rank) is (first < second)


def test_a_newcomer_is_next() -> None:
    site = Site()
    site.guest("old", 0.002)
    for _ in range(20):
        site.loop.run_one()
    site.guest("new", 0.002)
    site.loop.run_one()
    site.loop.run_one()
    assert "new" in site.taken[-2:]


def test_all_together_get_a_share_of_the_time_once_their_burst_is_used() -> None:
    site = Site()
    for number in range(16):
        site.guest(str(number), 0.01)
    began = site.clock.now
    while len(site.taken) * 0.01 < 10:
        site.loop.run_one()
    share = (len(site.taken) * 0.01 - BURST) / (site.clock.now - began)
    assert share == pytest.approx(SHARE, abs=0.06)


def test_one_turn_that_costs_much_delays_the_next_one_for_a_moment_only() -> None:
    site = Site()
    site.guest("slow", 30.0)
    site.loop.run_one()
    ((delay, _),) = site.loop.scheduled
    assert 0 < delay <= LONGEST_PAUSE


def test_what_was_used_is_forgotten() -> None:
    clock = Clock()
    account = Account(clock)
    account.charge(1.0)
    clock.now += 2.0
    assert account.used() == pytest.approx(0.25)
    clock.now += 1e6
    assert account.used() == 0.0


async def _three_steps(clock: Clock, future: "asyncio.Future[None]") -> None:
    clock.now += 0.25
    await asyncio.sleep(0)
    clock.now += 0.5
    try:
        await future
    finally:
        clock.now += 1.0


@pytest.mark.anyio
async def test_each_step_of_a_request_is_charged_but_not_its_waiting() -> None:
    clock = Clock()
    charged: list[float] = []
    future = asyncio.get_running_loop().create_future()
    task = asyncio.ensure_future(_awaited(clock, future, charged))
    for _ in range(3):
        await asyncio.sleep(0)
    clock.now += 1000.0
    future.set_exception(OSError("made up"))
    with pytest.raises(OSError, match="made up"):
        await task
    assert charged == [0.25, 0.5, 1.0]


async def _awaited(clock: Clock, future: "asyncio.Future[None]", charged: list[float]) -> None:
    await metered(_three_steps(clock, future), clock, charged.append)
