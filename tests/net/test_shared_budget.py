"""A request budget that several replicas share: together they keep the limit of the key."""

from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.net.test_rate_limit import fullest_minute
from tests.support.virtual_time import VirtualLoop
from watcher.core.errors import StoreError
from watcher.core.interfaces.budgets import Reservation
from watcher.net.rate_limit import RouteBudget
from watcher.net.shared_budgets import BudgetsOfSource

pytestmark = pytest.mark.anyio

DELAY = 0.002


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


class Budgets:
    """A store with shared budgets, `DELAY` away; while `fails` it is not reachable."""

    def __init__(self) -> None:
        self.fails = False
        self.calls = 0
        self.names: set[str] = set()
        self._requests = 0.0
        self._at = 0.0
        self._paused_until = 0.0

    async def take_requests(
        self, budget: str, burst: float, rate: float, number: int
    ) -> Reservation:
        await self._reach(budget)
        now = anyio.current_time()
        self._requests = held = min(self._requests + (now - self._at) * rate, burst)
        self._at = now
        if now < self._paused_until:
            return Reservation(wait=self._paused_until - now, held=held)
        if held < 1 - 1e-9:
            return Reservation(wait=(1 - held) / rate, held=held)
        self._requests -= number
        return Reservation(wait=0.0, held=held)

    async def pause_requests(self, budget: str, seconds: float) -> None:
        await self._reach(budget)
        self._requests, self._at = min(self._requests, 0.0), anyio.current_time()
        self._paused_until = max(self._paused_until, self._at + seconds)

    async def _reach(self, budget: str) -> None:
        self.calls += 1
        await anyio.sleep(DELAY)
        self.names.add(budget)
        if self.fails:
            raise StoreError("not reachable")


def replica(budgets: Budgets, limit: int | None = 60) -> RouteBudget:
    of_source = BudgetsOfSource(budgets, "mixpeek")
    return RouteBudget("GET /x", limit, anyio.current_time, shared=of_source)


@settings(max_examples=40)
@given(
    limit=st.one_of(st.integers(1, 120), st.integers(120, 1200)),
    began=st.lists(st.floats(0.0, 100.0), min_size=2, max_size=4),
    wanted=st.integers(5, 60),
    pauses=st.lists(st.sampled_from([0.0, 0.0, 0.1, 0.9, 1.5, 20.0]), min_size=1, max_size=9),
)
async def test_all_replicas_together_keep_the_limit(
    limit: int, began: list[float], wanted: int, pauses: list[float]
) -> None:
    budgets, times = Budgets(), list[float]()
    wanted = max(wanted, limit // 2)

    async def run(began_at: float) -> None:
        await anyio.sleep(began_at)
        requests = replica(budgets, limit)
        for number in range(wanted):
            await requests.spend()
            times.append(anyio.current_time())
            await anyio.sleep(pauses[number % len(pauses)] if number % 40 < 9 else 0)

    async with anyio.create_task_group() as tasks:
        for began_at in began:
            tasks.start_soon(run, began_at)

    assert len(times) == wanted * len(began)
    assert fullest_minute(times) <= limit


async def test_two_replicas_use_nearly_all_of_the_limit() -> None:
    budgets = Budgets()
    replicas = [replica(budgets), replica(budgets)]

    async def run(requests: RouteBudget) -> None:
        for _ in range(60):
            await requests.spend()

    async with anyio.create_task_group() as tasks:
        for requests in replicas:
            tasks.start_soon(run, requests)

    assert anyio.current_time() < 140
    assert budgets.names == {"mixpeek GET /x"}


async def test_requests_that_follow_each_other_are_taken_several_at_a_time() -> None:
    budgets = Budgets()
    requests = replica(budgets, 600)
    for _ in range(300):
        await requests.spend()
    took = anyio.current_time()

    assert budgets.calls < 60
    assert took < 300 / (550 / 60 / 1.02) + 2
    # Rare ones are taken one by one: what is not sent within a second is lost.
    before = budgets.calls
    for _ in range(20):
        await anyio.sleep(3)
        await requests.spend()
    assert budgets.calls == before + 20


async def test_a_pause_that_one_replica_was_given_holds_for_the_others() -> None:
    budgets = Budgets()
    first, second = replica(budgets), replica(budgets)
    await second.spend()
    began = anyio.current_time()
    first.pause.start(100.0)
    await first.share_pause()

    await second.spend()

    assert anyio.current_time() >= began + 100


async def test_nothing_remains_while_a_request_waits_for_what_others_have_taken() -> None:
    budgets = Budgets()
    requests = replica(budgets)
    await anyio.sleep(600)  # its own bucket is full
    await budgets.take_requests("", 5.0, 1.0, 50)
    seen = list[float]()

    async def spend() -> None:
        await requests.spend()
        scope.cancel()

    async with anyio.create_task_group() as tasks:
        scope = tasks.cancel_scope
        tasks.start_soon(spend)
        await anyio.sleep(2 * DELAY)
        while True:
            seen.append(requests.remaining())
            await anyio.sleep(DELAY / 3)
    assert len(seen) > 1000
    assert set(seen) == {0.0}
    assert requests.remaining() > 1

    with anyio.move_on_after(0.1):
        await budgets.take_requests("", 5.0, 1.0, 50)
        await requests.spend()
    assert requests.remaining() > 1, "none waits now"


async def test_nothing_is_sent_while_the_store_of_the_budget_fails() -> None:
    budgets = Budgets()
    requests = replica(budgets)
    await requests.spend()
    budgets.fails = True
    with anyio.move_on_after(600) as waiting:
        await requests.spend()
    assert waiting.cancelled_caught

    budgets.fails = False
    began = anyio.current_time()
    await requests.spend()
    assert anyio.current_time() < began + 3


async def test_a_source_without_a_limit_takes_nothing_from_the_store() -> None:
    budgets = Budgets()
    requests = replica(budgets, None)
    for _ in range(10):
        await requests.spend()
    requests.pause.start(5.0)
    await requests.share_pause()
    assert budgets.names == set()
