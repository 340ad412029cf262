"""No 60 seconds hold more requests than the limit, whatever is asked for when, restarts included."""

from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.virtual_time import VirtualLoop
from watcher.core.cooldown import Cooldown
from watcher.net.rate_limit import RouteBudget

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


def budget(limit: int | None, *plans: tuple[int, str]) -> RouteBudget:
    return RouteBudget("GET /x", limit, anyio.current_time, plans)


def fullest_minute(times: list[float]) -> int:
    return max((sum(start <= at < start + 60 for at in times) for start in times), default=0)


@settings(max_examples=60, deadline=None)
@given(
    limit=st.integers(1, 300),
    pauses=st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.5, 7.0, 61.0, 200.0]), max_size=250),
    restart_after=st.integers(0, 250),
)
async def test_no_minute_holds_more_than_the_limit(
    limit: int, pauses: list[float], restart_after: int
) -> None:
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
    spending = budget(None)
    for _ in range(1000):
        await spending.spend()
    assert anyio.current_time() == 0
    spending.pause.start(30.0)
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


async def test_a_pause_without_a_time_doubles_up_to_half_a_minute_and_a_success_resets_it() -> None:
    pause = Cooldown(anyio.current_time)
    waits = []
    for _ in range(8):
        pause.start(None)
        waits.append(pause.remaining())
        await anyio.sleep(pause.remaining())
    pause.succeeded()
    pause.start(None)

    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]
    assert pause.remaining() == 1


async def test_a_longer_pause_is_never_shortened() -> None:
    pause = Cooldown(anyio.current_time)
    pause.start(100.0)
    pause.start(1.0)
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
    spending = budget(60, (10, "Free"), (60, "Pro"))
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


async def test_without_plans_a_429_suggests_that_the_key_is_shared(
    caplog: pytest.LogCaptureFixture,
) -> None:
    spending = budget(60)
    await rate(spending)
    spending.refused()

    assert caplog.messages == [
        "GET /x: more than upstream allows (429) at 60 requests a minute; "
        "another client seems to share the key"
    ]


def told(**values: object) -> dict[str, str]:
    return {f"x-ratelimit-{name}": str(value) for name, value in values.items()}


async def test_a_lower_limit_that_upstream_tells_is_kept() -> None:
    spending = budget(60)
    spending.informed(told(limit=10), 0.0)
    times = []
    for _ in range(40):
        await spending.spend()
        times.append(anyio.current_time())
    assert fullest_minute(times) <= 10


async def test_a_higher_limit_that_upstream_tells_does_not_raise_ours() -> None:
    spending = budget(10)
    spending.informed(told(limit=600), 0.0)
    assert await rate(spending) <= 20


async def test_what_another_client_of_the_key_has_spent_is_not_spent_again() -> None:
    spending = budget(60)
    await anyio.sleep(60)
    assert spending.remaining() == 5
    spending.informed(told(remaining=2), 0.0)
    assert spending.remaining() == 2


@pytest.mark.parametrize("limit", [None, 60])
@pytest.mark.parametrize(
    ("reset", "waits"), [("7", 7), ("1800000012", 12), ("86400", 60), ("0", 0), ("x", 0)]
)
async def test_once_nothing_remains_nothing_is_sent_until_the_reset(
    limit: int | None, reset: str, waits: int
) -> None:
    spending = budget(limit)
    await anyio.sleep(60)
    spending.informed(told(remaining=0, reset=reset), 1_800_000_000.0)
    before = anyio.current_time()
    await spending.spend()
    assert anyio.current_time() - before >= waits
    assert anyio.current_time() - before <= waits + 2


@given(
    st.dictionaries(st.sampled_from([*told(limit=0, remaining=0, reset=0)]), st.text(max_size=30))
)
async def test_any_header_is_survived(headers: dict[str, str]) -> None:
    spending = budget(60)
    spending.informed(headers, 0.0)
    await spending.spend()
