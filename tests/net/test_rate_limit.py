"""The request budget: no 60 seconds contain more requests than the limit, even across a restart."""

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
async def test_no_minute_contains_more_requests_than_the_limit(
    limit: int, pauses: list[float], restart_after: int
) -> None:
    requests = budget(limit)
    times = []
    for number, pause in enumerate(pauses):
        if number == restart_after:
            requests = budget(limit)
        await anyio.sleep(pause)
        await requests.spend()
        times.append(anyio.current_time())

    assert fullest_minute(times) <= limit


@pytest.mark.parametrize("limit", [1, 10, 60, 600])
async def test_nearly_all_of_the_limit_can_be_used(limit: int) -> None:
    requests = budget(limit)
    for _ in range(limit):
        await requests.spend()
    assert anyio.current_time() <= 75


async def test_without_a_limit_only_a_pause_delays_requests() -> None:
    requests = budget(None)
    for _ in range(1000):
        await requests.spend()
    assert anyio.current_time() == 0
    requests.pause.start(30.0)
    await requests.spend()
    assert anyio.current_time() == 30.0


async def test_a_request_cancelled_while_waiting_spends_nothing() -> None:
    requests = budget(60)
    for _ in range(20):
        with anyio.move_on_after(0.5):
            await requests.spend()
            await anyio.sleep(0.5)
    after_cancellations = requests.remaining()
    await anyio.sleep(120)
    assert requests.remaining() == pytest.approx(5)
    assert after_cancellations <= 5


async def test_a_pause_of_unknown_length_doubles_up_to_30_s_and_a_success_resets_it() -> None:
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


async def rate(requests: RouteBudget) -> int:
    """Return the number of requests in the next two minutes."""
    begin = anyio.current_time()
    count = 0
    while anyio.current_time() < begin + 120:
        await requests.spend()
        count += 1
    return count


async def test_a_429_halves_the_limit_and_logs_the_probable_plan_once_and_the_limit_recovers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    requests = budget(60, (10, "Free"), (60, "Pro"))
    before = await rate(requests)
    for _ in range(5):
        requests.rate_limited()  # concurrent ones count as one
    halved = await rate(requests)
    await anyio.sleep(20)
    requests.rate_limited()
    await anyio.sleep(3600)
    after = await rate(requests)

    assert halved < before * 0.6
    assert after >= before * 0.95
    assert [record.message for record in caplog.records] == [
        "GET /x: rate limited by upstream (429) at 60 requests a minute; "
        "the key is probably on the Free plan: set requests_per_minute to 10"
    ]


async def test_without_plans_a_429_suggests_that_the_key_is_shared(
    caplog: pytest.LogCaptureFixture,
) -> None:
    requests = budget(60)
    await rate(requests)
    requests.rate_limited()

    assert caplog.messages == [
        "GET /x: rate limited by upstream (429) at 60 requests a minute; "
        "another client probably uses the same key"
    ]


def rate_limit_headers(**values: object) -> dict[str, str]:
    return {f"x-ratelimit-{name}": str(value) for name, value in values.items()}


async def test_a_lower_limit_of_upstream_is_adopted() -> None:
    requests = budget(60)
    requests.apply_headers(rate_limit_headers(limit=10), 0.0)
    times = []
    for _ in range(40):
        await requests.spend()
        times.append(anyio.current_time())
    assert fullest_minute(times) <= 10


async def test_a_higher_limit_of_upstream_is_ignored() -> None:
    requests = budget(10)
    requests.apply_headers(rate_limit_headers(limit=600), 0.0)
    assert await rate(requests) <= 20


async def test_requests_of_another_client_of_the_key_reduce_the_budget() -> None:
    requests = budget(60)
    await anyio.sleep(60)
    assert requests.remaining() == 5
    requests.apply_headers(rate_limit_headers(remaining=2), 0.0)
    assert requests.remaining() == 2


@pytest.mark.parametrize("limit", [None, 60])
@pytest.mark.parametrize(
    ("reset", "waits"), [("7", 7), ("1800000012", 12), ("86400", 60), ("0", 0), ("x", 0)]
)
async def test_without_remaining_requests_nothing_is_sent_until_the_reset(
    limit: int | None, reset: str, waits: int
) -> None:
    requests = budget(limit)
    await anyio.sleep(60)
    requests.apply_headers(rate_limit_headers(remaining=0, reset=reset), 1_800_000_000.0)
    before = anyio.current_time()
    await requests.spend()
    assert anyio.current_time() - before >= waits
    assert anyio.current_time() - before <= waits + 2


@given(
    st.dictionaries(
        st.sampled_from([*rate_limit_headers(limit=0, remaining=0, reset=0)]), st.text(max_size=30)
    )
)
async def test_no_header_raises(headers: dict[str, str]) -> None:
    requests = budget(60)
    requests.apply_headers(headers, 0.0)
    await requests.spend()
