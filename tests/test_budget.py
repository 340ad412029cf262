"""No 60 seconds hold more requests than the limit, whatever is asked for when, restarts included."""

from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.virtual_time import VirtualLoop
from watcher.budget import Pause, RouteBudget

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


def budget(limit: int | None, pause: Pause | None = None) -> RouteBudget:
    return RouteBudget("GET /x", limit, pause or Pause(anyio.current_time), anyio.current_time)


def fullest_minute(times: list[float]) -> int:
    return max((sum(start <= at < start + 60 for at in times) for start in times), default=0)


@settings(max_examples=60, deadline=None)
@given(
    limit=st.integers(1, 300),
    pauses=st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.5, 7.0, 61.0, 200.0]), max_size=250),
    restart_after=st.integers(0, 250),
)
async def test_no_minute_holds_more_than_the_limit(limit: int, pauses: list[float], restart_after: int) -> None:
    spending = budget(limit)
    times = []
    for number, pause in enumerate(pauses):
        if number == restart_after:
            spending = budget(limit)
        await anyio.sleep(pause)
        await spending.spend()
        times.append(anyio.current_time())

    assert fullest_minute(times) <= limit


@pytest.mark.parametrize("limit", [1, 10, 60, 600])
async def test_nearly_all_of_the_limit_can_be_used(limit: int) -> None:
    spending = budget(limit)
    for _ in range(limit):
        await spending.spend()
    assert anyio.current_time() <= 75


async def test_without_a_limit_nothing_waits_but_for_a_pause() -> None:
    pause = Pause(anyio.current_time)
    spending = budget(None, pause)
    for _ in range(1000):
        await spending.spend()
    assert anyio.current_time() == 0
    pause.asked(30.0)
    await spending.spend()
    assert anyio.current_time() == 30.0


async def test_one_that_is_cancelled_while_waiting_has_spent_nothing() -> None:
    spending = budget(60)
    for _ in range(20):
        with anyio.move_on_after(0.5):
            await spending.spend()
            await anyio.sleep(0.5)
    spent_for_nothing = spending.remaining()
    await anyio.sleep(120)
    assert spending.remaining() == pytest.approx(5)
    assert spent_for_nothing <= 5


async def test_a_pause_without_a_time_doubles_up_to_a_minute_and_a_success_resets_it() -> None:
    pause = Pause(anyio.current_time)
    waits = []
    for _ in range(8):
        pause.asked(None)
        waits.append(pause.remaining())
        await anyio.sleep(pause.remaining())
    pause.succeeded()
    pause.asked(None)

    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert pause.remaining() == 1


async def test_a_longer_pause_is_never_shortened() -> None:
    pause = Pause(anyio.current_time)
    pause.asked(100.0)
    pause.asked(1.0)
    assert pause.remaining() == 100


async def rate(spending: RouteBudget) -> int:
    """Requests in the next two minutes."""
    begin = anyio.current_time()
    count = 0
    while anyio.current_time() < begin + 120:
        await spending.spend()
        count += 1
    return count


async def test_a_refusal_halves_the_limit_says_once_which_plan_that_suggests_and_it_grows_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    spending = budget(60)
    before = await rate(spending)
    for _ in range(5):
        spending.refused()  # those that were in flight together count as one
    halved = await rate(spending)
    await anyio.sleep(20)
    spending.refused()
    await anyio.sleep(3600)
    after = await rate(spending)

    assert halved < before * 0.6
    assert after >= before * 0.95
    assert [record.message for record in caplog.records] == [
        "GET /x: more than upstream allows (429) at 60 requests a minute; "
        "the key seems to be on the Free plan: set requests_per_minute to 10"
    ]
