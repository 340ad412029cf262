"""Unexpected errors are counted, logged once, and survived."""

from typing import Any

import anyio
import pytest
from prometheus_client import CollectorRegistry

from tests.support.virtual_time import VirtualLoop
from watcher.telemetry.metrics import Component, Metrics
from watcher.telemetry.unexpected import UnexpectedErrors

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


async def test_a_loop_that_fails_runs_again(caplog: pytest.LogCaptureFixture) -> None:
    registry = CollectorRegistry()
    unexpected = UnexpectedErrors(Metrics(registry, "test"))
    began: list[float] = []

    async def fails_five_times() -> None:
        began.append(anyio.current_time())
        if len(began) <= 5:
            raise MemoryError("too much")

    await unexpected.keep_running(Component.DISCOVERY, fails_five_times)

    assert began == [0, 1, 3, 7, 15, 31]
    labels = {"component": "discovery"}
    assert registry.get_sample_value("watcher_unexpected_errors_total", labels) == 5
    assert [record.exc_info is not None for record in caplog.records] == [True]


async def test_errors_of_different_places_are_logged_apart(
    caplog: pytest.LogCaptureFixture,
) -> None:
    unexpected = UnexpectedErrors(Metrics(CollectorRegistry(), "test"))
    for _ in range(3):
        unexpected.report(Component.POLLER, KeyError("a"))
        unexpected.report(Component.CHANNEL, KeyError("a"))
    assert len(caplog.records) == 2
