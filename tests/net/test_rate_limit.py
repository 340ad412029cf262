"""The request budget: no 60 seconds contain more requests than the limit, even across a restart."""

from collections import Counter
from itertools import pairwise
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


@settings(max_examples=60)
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


@settings(max_examples=100)
@given(
    limit=st.integers(1, 300),
    requested=st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 20.0, 61.0, 200.0]),
            st.sampled_from([0, 0, 0, 1, 3]),
        ),
        min_size=50,
        max_size=250,
    ),
)
async def test_no_minute_contains_more_if_requests_are_given_back(
    limit: int, requested: list[tuple[float, int]]
) -> None:
    requests = budget(limit)
    times = []
    for pause, given_back in requested:
        await anyio.sleep(pause)
        await requests.spend()
        times.append(anyio.current_time())
        for _ in range(given_back):
            requests.give_back()

    assert fullest_minute(times) <= limit


async def test_while_all_is_spent_some_requests_a_minute_are_given_back() -> None:
    requests, with_failures = budget(60), budget(60)
    useful: Counter[str] = Counter()

    async def spend(name: str, requests: RouteBudget, failing_every: float) -> None:
        fails_at = failing_every
        while anyio.current_time() < 600:
            await requests.spend()
            if anyio.current_time() >= fails_at:
                fails_at += failing_every
                requests.give_back()
            else:
                useful[name] += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(spend, "without", requests, 1e9)
        tasks.start_soon(spend, "with", with_failures, 20.5)

    assert useful["with"] >= useful["without"] - 1


async def test_a_request_that_is_given_back_wakes_the_one_that_waits() -> None:
    requests = budget(60)
    for _ in range(3):
        await requests.spend()
    began = anyio.current_time()

    async def give_back() -> None:
        await anyio.sleep(0.1)
        requests.give_back()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(give_back)
        await requests.spend()

    assert anyio.current_time() == pytest.approx(began + 0.1)


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


async def test_a_pause_ends_after_five_minutes_and_one_request_goes_first() -> None:
    requests = budget(None)
    requests.pause.start(86400.0)
    sent: list[float] = []

    async def request() -> None:
        await requests.spend()
        requests.pause.sent(10.0)
        sent.append(anyio.current_time())

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(request)
        await anyio.sleep(304)
        before_its_answer = list(sent)
        requests.pause.start(86400.0)  # the answer: no change
        requests.pause.released(300.0)
        await anyio.sleep(304)
        after_a_rejection = list(sent)
        requests.pause.succeeded(604.0)

    assert before_its_answer == [300.0]
    assert after_a_rejection == [300.0, 604.0]
    assert sent == [300.0, 604.0, 608.0, 608.0, 608.0]


async def test_a_probe_that_is_not_sent_or_not_answered_does_not_keep_others_waiting() -> None:
    requests = budget(None)
    requests.pause.start(30.0)
    await requests.spend()
    await requests.spend()
    unsent = anyio.current_time()
    requests.pause.sent(10.0)
    await requests.spend()
    unanswered = anyio.current_time()
    requests.pause.released()
    await requests.spend()

    assert (unsent, unanswered, anyio.current_time()) == (32.0, 42.0, 42.0)


async def test_an_answer_to_a_request_from_before_the_pause_does_not_end_it() -> None:
    requests = budget(None)
    requests.pause.start(30.0)
    requests.pause.succeeded(0.0)
    assert requests.pause.probing
    assert requests.wait() == 30.0


async def test_a_429_to_a_probe_does_not_halve_the_limit() -> None:
    requests = budget(60)
    before = await rate(requests)
    requests.pause.start(1.0)
    requests.rate_limited()
    await requests.spend()
    requests.pause.succeeded(anyio.current_time())
    assert await rate(requests) >= before * 0.95


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


async def test_after_a_series_of_429s_half_of_the_limit_is_back_within_minutes() -> None:
    requests = budget(60)
    before = await rate(requests)
    for _ in range(8):
        await anyio.sleep(15)
        requests.rate_limited()
    lowest = await rate(requests)
    await anyio.sleep(360)
    after = await rate(requests)

    assert lowest < before * 0.1
    assert 0.4 * before <= after <= 0.7 * before


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


async def spend(requests: RouteBudget, count: int) -> list[float]:
    """Spend `count` requests and return when."""
    times = []
    for _ in range(count):
        await requests.spend()
        times.append(anyio.current_time())
    return times


async def test_a_lower_limit_of_upstream_is_adopted_for_its_window() -> None:
    requests = budget(60)
    requests.apply_headers(rate_limit_headers(limit=10, window=60), 0.0)
    assert fullest_minute(await spend(requests, 40)) <= 10


async def test_a_limit_without_a_window_is_never_taken_for_a_minutes() -> None:
    requests = budget(60)
    before = await rate(requests)
    requests.apply_headers(rate_limit_headers(limit=10), 0.0)
    requests.apply_headers(rate_limit_headers(limit=10, remaining=9, reset=1), 0.0)
    assert await rate(requests) >= before * 0.95


async def test_a_limit_per_second_and_one_per_hour_hold_in_their_windows() -> None:
    requests = budget(600)
    requests.apply_headers({"x-ratelimit-limit": "2, 2;w=1, 900;w=3600"}, 0.0)
    times = await spend(requests, 300)
    assert max(sum(start <= at < start + 1 for at in times) for start in times) <= 2
    assert times[-1] >= 3600 * (300 - 900 / 12) / 900


async def test_what_was_learnt_rises_again_with_what_upstream_says() -> None:
    requests = budget(60)
    before = await rate(requests)
    requests.apply_headers(rate_limit_headers(limit=10, window=60), 0.0)
    lowered = await rate(requests)
    requests.apply_headers(rate_limit_headers(limit=600, window=60), 0.0)
    assert lowered < before / 4
    assert await rate(requests) >= before * 0.95


async def test_what_upstream_no_longer_says_is_forgotten() -> None:
    requests = budget(60)
    before = await rate(requests)
    requests.apply_headers(rate_limit_headers(limit=10, window=60), 0.0)
    await anyio.sleep(600)
    assert await rate(requests) >= before * 0.95


async def test_the_counter_proves_a_window_and_what_remains_is_spread_over_it() -> None:
    """An hourly limit of 100 that does not say so: no minute takes more than its share."""
    requests = budget(60)
    used, began = 0, anyio.current_time()
    times = []
    while anyio.current_time() < began + 1800:
        await requests.spend()
        times.append(anyio.current_time())
        used += 1
        reset = began + 3600 - anyio.current_time()
        requests.apply_headers(rate_limit_headers(limit=100, remaining=100 - used, reset=reset), 0)
    assert 40 <= used <= 60
    assert max(after - before for before, after in pairwise(times)) <= 45


async def test_a_window_that_slides_is_not_taken_for_a_fixed_one() -> None:
    """Each request moves the reset: it says when all requests are available again."""
    requests = budget(60)
    before = await rate(requests)
    began = anyio.current_time()
    count = 0
    while anyio.current_time() < began + 120:
        await requests.spend()
        count += 1
        headers = rate_limit_headers(limit=60, remaining=60 - min(count, 55), reset=min(count, 55))
        requests.apply_headers(headers, 0.0)
    assert count >= before * 0.95


async def test_no_stated_limit_stops_a_route_for_longer_than_five_minutes() -> None:
    requests = budget(60)
    requests.apply_headers(rate_limit_headers(limit=1, window="1d"), 0.0)
    assert [round(at) for at in await spend(requests, 3)] == [300, 600, 900]


async def test_a_higher_limit_of_upstream_is_ignored() -> None:
    requests = budget(10)
    requests.apply_headers(rate_limit_headers(limit=600, window=60), 0.0)
    assert await rate(requests) <= 20


async def test_requests_of_another_client_of_the_key_reduce_the_budget() -> None:
    requests = budget(60)
    await anyio.sleep(60)
    assert requests.remaining() == 5
    requests.apply_headers(rate_limit_headers(remaining=2), 0.0)
    assert requests.remaining() == 2


@pytest.mark.parametrize("limit", [None, 60])
@pytest.mark.parametrize(
    ("reset", "waits"),
    [
        ("7", 7),
        ("1800000012", 12),
        ("86400", 60),
        ("1800000012500", 12.5),
        ("7s", 7),
        ("0", 0),
        ("x", 0),
    ],
)
async def test_without_remaining_requests_nothing_is_sent_until_the_reset(
    limit: int | None, reset: str, waits: float
) -> None:
    requests = budget(limit)
    await anyio.sleep(60)
    requests.apply_headers(rate_limit_headers(remaining=0, reset=reset), 1_800_000_000.0)
    before = anyio.current_time()
    await requests.spend()
    assert anyio.current_time() - before >= waits
    assert anyio.current_time() - before <= waits + 2


HEADERS = st.dictionaries(
    st.sampled_from(
        [
            *rate_limit_headers(limit=0, remaining=0, reset=0, window=0),
            *("ratelimit", "ratelimit-policy", "x-ratelimit-limit-hour"),
        ]
    ),
    st.text(max_size=30)
    | st.integers(-5, 10**6).map(str)
    | st.from_regex(r'"a";[qrwt]=[0-9]{1,4};[qrwt]=[0-9]{1,4}', fullmatch=True)
    | st.sampled_from(["100, 100;w=60", "1;w=86400", "1m30s", "500ms", "0.5", "1800000060.25"]),
)


@settings(max_examples=300)
@given(st.lists(HEADERS, min_size=1, max_size=10), st.integers(1, 300))
async def test_no_headers_raise_or_wait_for_long_or_lift_the_configured_limit(
    responses: list[dict[str, str]], limit: int
) -> None:
    requests = budget(limit)
    times = []
    for headers in responses * 3:
        requests.apply_headers(headers, 1_800_000_000.0)
        assert 0 <= requests.wait() <= 300.001
        times += await spend(requests, 1)
    assert fullest_minute(times) <= limit
    assert all(after - before <= 301 for before, after in pairwise(times))
