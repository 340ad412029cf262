"""A store as weeks of use leave it, with as many watches as are wanted."""

from dataclasses import replace

import msgspec

from tests.support.records import KnownDetail
from watcher.core.clock import wall_clock
from watcher.core.deliveries import AttemptResult, DeliveryState
from watcher.core.events import Change, task_event
from watcher.core.tasks import Detail, Observation, TaskKey, Watch, WatchRequest, WatchState
from watcher.stores.sqlite import store as sqlite
from watcher.stores.sqlite.store import SqliteStore

ACTIVE = 3000
"""Running tasks, `task_0` and the following ones."""
BATCH = "btch_200"
FAILED = "ended_7"
_STEP = 500
_EACH_FAILS = 10
_SENT = 20
"""One of so many tasks has a delivery, failed ones and others."""
_ERRORS = tuple(f"Failed to process batch: {what}" for what in ("no object", "codec", "timeout"))


async def fill(url: str, count: int) -> None:
    """Store `count` watches: `ACTIVE` are running, one in ten of the others has failed."""
    async with sqlite.create(url) as store:
        for start in range(0, count, _STEP):
            await _fill(store, range(start, min(start + _STEP, count)))
        for channel in ("backend", "alerts"):
            await _settle(store, channel)


async def _fill(store: SqliteStore, numbers: range) -> None:
    now = wall_clock()
    ids = [f"task_{n}" if n < ACTIVE else f"ended_{n - ACTIVE}" for n in numbers]
    requests = [WatchRequest(key=TaskKey("mixpeek", one), labels={"team": "search"}) for one in ids]
    watches = (await store.add(requests, now - 90_000)).watches
    await store.record([_change(watch, n, now) for watch, n in zip(watches, numbers, strict=True)])


def _change(watch: Watch, number: int, now: float) -> Change:
    status = "IN_PROGRESS"
    if number >= ACTIVE:
        status = "FAILED" if (number - ACTIVE) % _EACH_FAILS == 7 else "COMPLETED"
    error = _ERRORS[number % 3] if status == "FAILED" else None
    batch = BATCH if ACTIVE <= number < ACTIVE + 200 else f"btch_{number // 100}"
    raw = msgspec.json.encode({"additional_data": {"batch_id": batch}})
    seen = Observation(
        task_id=watch.key.task_id,
        status=status,
        task_type="api_buckets_batches_process",
        details=KnownDetail(Detail(error_message=error, raw=msgspec.Raw(raw))),
    )
    at = now - 80_000 + number % 80_000
    event = task_event(
        watch,
        seen,
        namespace=None,
        sequence=1,
        at=at,
        event_id=f"msg_{number:024d}",
        channels=_channels(number, error),
    )
    after = replace(
        watch,
        status=status,
        sequence=1,
        state=WatchState.ACTIVE if status == "IN_PROGRESS" else WatchState.DONE,
        task_type=seen.task_type,
        error_message=error,
        first_seen_at=at,
        changed_at=at,
        batch=batch,
    )
    return Change(watch=after, expected_sequence=0, event=event)


def _channels(number: int, error: str | None) -> tuple[str, ...]:
    if number // _EACH_FAILS % (_SENT if error is None else 2):
        return ()
    return ("backend",) if error is None else ("alerts",)


async def _settle(store: SqliteStore, channel: str) -> None:
    failed = channel == "alerts"
    while due := await store.due(channel, wall_clock(), 1000):
        await store.settle(
            [
                AttemptResult(
                    delivery_id=one.id,
                    state=DeliveryState.FAILED if failed else DeliveryState.DELIVERED,
                    attempted_at=one.event_at + 0.01,
                    scheduled=1,
                    last_error="503 Service Unavailable" if failed else None,
                    last_status=503 if failed else 204,
                    duration=0.01,
                )
                for one in due
            ]
        )
