"""When the list is used, and how."""

import anyio
import pytest

from watcher.core.errors import SourceError, SourceFailure
from watcher.sources.mixpeek.list_health import (
    FAILURE_PAUSE,
    RECHECK_AFTER,
    FilterState,
    ListHealth,
)

pytestmark = pytest.mark.anyio

OUTAGE = SourceError(SourceFailure.UNAVAILABLE, "HTTP 500")


def state_of(health: ListHealth) -> FilterState:
    return health.state


async def test_a_degraded_list_is_tried_again_and_both_are_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    health = ListHealth("mixpeek")
    for recheck_after in (60, 120, 240, 480, RECHECK_AFTER, RECHECK_AFTER):
        health.degrade(FilterState.SCAN_ALL, "it rejects valid IDs")
        health.degrade(FilterState.SCAN_ALL, "by a request that was in flight, too")
        await anyio.sleep(recheck_after - 1)
        assert state_of(health) is FilterState.SCAN_ALL
        await anyio.sleep(1)
        assert state_of(health) is FilterState.WORKING
    health.filter_worked()
    health.filter_worked()
    assert caplog.messages == [
        "source 'mixpeek': POST /v1/tasks/list is now scanned completely, without the task ID "
        "filter: it rejects valid IDs",
        "source 'mixpeek': POST /v1/tasks/list is filtered by task ID again",
    ]


@pytest.mark.parametrize(
    ("omitted", "polled", "state"),
    [
        ("abcde", "abc", FilterState.SCAN_ALL),
        ("abcde", "ab", FilterState.WORKING),
        ("abcde", "aaa", FilterState.WORKING),
        ("abcde", "xyz", FilterState.WORKING),
    ],
)
async def test_a_list_that_omits_existing_tasks_is_scanned(
    omitted: str, polled: str, state: FilterState
) -> None:
    health = ListHealth("mixpeek")
    health.filter_returned_nothing(omitted)
    for task_id in polled:
        health.found_by_get(task_id)
    assert health.state is state


async def test_omissions_are_forgotten_once_the_filter_works() -> None:
    health = ListHealth("mixpeek")
    health.filter_returned_nothing("abc")
    health.found_by_get("a")
    health.filter_worked()
    health.found_by_get("b")
    health.found_by_get("c")
    assert health.state is FilterState.WORKING


@pytest.mark.parametrize(
    ("reasons", "state"),
    [
        ([SourceFailure.UNAVAILABLE] * 2, FilterState.WORKING),
        ([SourceFailure.UNAVAILABLE] * 3, FilterState.UNAVAILABLE),
        ([SourceFailure.RATE_LIMITED] * 9, FilterState.WORKING),
        ([SourceFailure.UNAUTHORIZED] * 9, FilterState.WORKING),
    ],
)
async def test_a_list_that_keeps_failing_is_not_used(
    reasons: list[SourceFailure], state: FilterState
) -> None:
    health = ListHealth("mixpeek")
    for reason in reasons:
        health.fetch_failed(SourceError(reason, "x"), anyio.current_time())
    assert health.state is state
    await anyio.sleep(FAILURE_PAUSE)
    assert state_of(health) is FilterState.WORKING


async def test_a_success_resets_the_failures() -> None:
    health = ListHealth("mixpeek")
    for _ in range(5):
        health.fetch_failed(OUTAGE, anyio.current_time())
        health.fetch_failed(OUTAGE, anyio.current_time())
        health.fetch_succeeded()
    assert health.state is FilterState.WORKING


async def test_a_list_that_failed_during_an_outage_is_used_at_once_after_it() -> None:
    health = ListHealth("mixpeek")
    for _ in range(3):
        health.fetch_failed(OUTAGE, anyio.current_time())
    assert state_of(health) is FilterState.UNAVAILABLE
    health.source_recovered()
    assert state_of(health) is FilterState.WORKING


async def test_an_unavailable_list_stays_so_after_an_outage() -> None:
    health = ListHealth("mixpeek")
    health.degrade(FilterState.UNAVAILABLE, "HTTP 404")
    health.source_recovered()
    assert health.state is FilterState.UNAVAILABLE
