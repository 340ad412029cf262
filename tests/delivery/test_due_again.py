"""What is requested while the store writes, or fails to, is not lost."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.delivery.harness import Harness
from watcher.core.errors import StoreError
from watcher.delivery.due_again import DueAgain
from watcher.delivery.receiver_record import ReceiverRecord

pytestmark = pytest.mark.anyio


class Recorded:
    """The store; `during` runs while deliveries are made due."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, bool, bool]] = []
        self.during: Callable[[], None] = lambda: None

    async def make_due(self, channel: str, before: float, now: float, **options: Any) -> int:
        self.calls.append((before, options["in_order"], options["despite_retry_after"]))
        self.during()
        return 0


@pytest.fixture
async def store(harness: Harness) -> Recorded:
    store = harness.store = Recorded()
    return store


async def test_a_failed_write_is_repeated_as_it_was(harness: Harness, store: Recorded) -> None:
    record = ReceiverRecord()
    record.restore(1.0)
    due_again = DueAgain(harness.context(), record)
    due_again.request(5.0, despite_retry_after=True)

    def fail() -> None:
        raise StoreError("the disk is full")

    store.during = fail
    with pytest.raises(StoreError):
        await due_again.apply()
    store.during = lambda: None
    await due_again.apply()
    await due_again.apply()

    assert store.calls == [(5.0, True, True)] * 2


async def test_a_request_during_a_write_is_stored_next(harness: Harness, store: Recorded) -> None:
    due_again = DueAgain(harness.context(), ReceiverRecord())
    due_again.request(5.0)
    store.during = lambda: due_again.request(9.0) if len(store.calls) == 1 else None
    await due_again.apply()
    await due_again.apply()

    assert store.calls == [(5.0, False, False), (9.0, False, False)]
