"""A store as a week of use leaves it: every status, batches, deliveries in each state, channels
that are paused, stopped or gone, and, where it is wanted, texts that look like markup.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from tests.support.records import KnownDetail
from watcher.core.channels import Suspension, SuspensionKind
from watcher.core.deliveries import AttemptResult, Delivery, DeliveryState
from watcher.core.events import Change, task_event
from watcher.core.tasks import (
    TERMINAL_STATUSES,
    Detail,
    Observation,
    TaskKey,
    Watch,
    WatchRequest,
    WatchState,
)
from watcher.stores.sqlite.store import SqliteStore
from watcher.testing.mixpeek_server import FakeUpstream

BATCHES, UPLOADS = "api_buckets_batches_process", "api_buckets_uploads_create"
FAILED_TASK, PARTLY_TASK = "task_7c1e02fa", "task_5b20dd91"
MOVING_TASK = "task_0e44ab17"
"""A running task, which a test may let change."""
BATCH = "btch_spring_catalogue"
MARKUP = '<img src="x" onerror="document.title=\'owned\'">'
HOSTILE_IDS = (
    f"{MARKUP}{{{{ 7 * 7 }}}}",
    "a/../b?c=d#e&amp;%2e%2e%3Cb%3E",
    "\u202egpj.exe \u0301\u0302\u0303\u0304\u0305",
    "\"'><script>document.title='owned'</script>",
)
_HOSTILE_ERRORS = ("x" * 8000, f"{MARKUP}\n" * 40, "\u202e\x1b[31m\x00\x85\u2028", "</main></html>")
_CODEC = "Failed to process batch: Unsupported codec: prores_raw"
_MISSING = "Failed to process batch: Object not found: s3://catalogue/spring/0042.mp4"
_RUNS = ("PENDING", "IN_PROGRESS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tale:
    """A task: added `age` seconds ago, since then in each of `statuses`, a minute apart."""

    task_id: str
    statuses: Sequence[str]
    age: float
    error: str | None = None
    batch: str | None = None
    task_type: str = UPLOADS
    labels: Mapping[str, str] = field(default_factory=lambda: {"team": "search"})
    source: str = "mixpeek"
    stalled: bool = False
    lost: bool = False
    channels: Sequence[str] = ("backend",)


def tales() -> list[Tale]:
    """Return the tasks of every day."""
    alerted = ("backend", "alerts")
    return [
        *(
            Tale(
                task_id=f"task_a{number:03d}c0de", statuses=(*_RUNS, "COMPLETED"), age=8000 + number
            )
            for number in range(20)
        ),
        *(_of_batch(number) for number in range(12)),
        Tale(task_id="task_1d9e77b0", statuses=("PENDING",), age=300),
        Tale(task_id="task_new", statuses=(), age=5),
        Tale(task_id=MOVING_TASK, statuses=_RUNS, age=900),
        Tale(task_id="task_52ab90c3", statuses=("PROCESSING",), age=500, task_type=BATCHES),
        Tale(task_id="task_rebalancing", statuses=("REBALANCING",), age=700),
        Tale(task_id="task_9c01cc2e", statuses=(*_RUNS, "CANCELED"), age=5000, channels=("team",)),
        Tale(task_id="task_9c01dd2f", statuses=("SKIPPED",), age=5400),
        Tale(task_id="task_stalled", statuses=_RUNS, age=90000, stalled=True),
        Tale(task_id="task_lost", statuses=_RUNS, age=80000, lost=True),
        Tale(task_id="task_archive", statuses=_RUNS, age=4000, source="archive"),
        Tale(task_id="task_old", statuses=(*_RUNS, "COMPLETED"), age=200000, channels=("legacy",)),
        Tale(
            task_id=PARTLY_TASK,
            age=3000,
            batch=BATCH,
            task_type=BATCHES,
            statuses=(*_RUNS, "COMPLETED_WITH_ERRORS"),
            error="7 of 240 objects failed: File is empty",
            channels=alerted,
        ),
        Tale(
            task_id=FAILED_TASK,
            age=2000,
            batch=BATCH,
            task_type=BATCHES,
            statuses=(*_RUNS, "FAILED"),
            error=_MISSING,
            channels=alerted,
        ),
    ]


def _of_batch(number: int) -> Tale:
    ends = ("COMPLETED", "COMPLETED", "FAILED", "COMPLETED")
    status = ends[number % 4]
    return Tale(
        task_id=f"task_b{number:03d}f00d",
        statuses=(*_RUNS, status),
        age=4000 + 60 * number,
        error=_CODEC if status == "FAILED" else None,
        batch=BATCH if number < 6 else "btch_nightly",
        task_type=BATCHES,
        channels=("backend", "alerts") if status == "FAILED" else ("backend",),
    )


def hostile_tales() -> list[Tale]:
    """Return tasks whose every text comes from a hostile sender."""
    return [
        Tale(
            task_id=task_id,
            statuses=(*_RUNS, *((MARKUP.upper(),) if number == 0 else ()), "FAILED"),
            age=1000 + number,
            error=error,
            batch=task_id,
            task_type=task_id,
            labels={"x" * 60: MARKUP, "note": error[:200]},
            channels=("backend", "alerts"),
        )
        for number, (task_id, error) in enumerate(zip(HOSTILE_IDS, _HOSTILE_ERRORS, strict=True))
    ]


class StoryClock:
    """The store's clock: it shows the time of what is written, `now` otherwise."""

    def __init__(self, now: float) -> None:
        self.now = self.shown = now

    def __call__(self) -> float:
        return self.shown


class Story:
    """Writes tales into a store, as if the daemon had watched them until `now`."""

    def __init__(self, store: SqliteStore, clock: "StoryClock") -> None:
        self._store = store
        self._clock = clock
        self._now = clock.now
        self._events = 0

    async def write(self, tales: Sequence[Tale]) -> None:
        """Store the tasks with their events, then the deliveries' results and the suspensions."""
        for tale in tales:
            await self._write(tale)
        for channel in ("backend", "alerts", "team"):
            async for delivery in self._pending(channel):
                await self._settle(delivery)
                self._clock.shown = self._now
        await self._suspend("audit", SuspensionKind.PAUSED, "moving to the new cluster", 7200)
        await self._suspend(
            "billing", SuspensionKind.STOPPED, "the receiver answered 410 Gone", 600
        )

    async def _write(self, tale: Tale) -> None:
        key, added = TaskKey(tale.source, tale.task_id), self._now - tale.age
        request = WatchRequest(key=key, labels=tale.labels, namespace="ns_catalogue")
        watch = (await self._store.add([request], added)).watches[0]
        for number, status in enumerate(tale.statuses):
            watch = await self._step(tale, watch, status, added + 2 + 61.7 * number)
        if tale.stalled or tale.lost:
            at = self._now - 3600
            marked = replace(
                watch,
                missing_since=at - 600 if tale.lost else None,
                lost_at=at if tale.lost else None,
                stalled_at=at if tale.stalled else None,
            )
            await self._store.record([Change(watch=marked, expected_sequence=watch.sequence)])

    async def _step(self, tale: Tale, watch: Watch, status: str, at: float) -> Watch:
        self._events += 1
        ended = status in TERMINAL_STATUSES
        error = tale.error if ended else None
        placed = {"batch_id": tale.batch, "bucket_id": "bkt_media"} if tale.batch else None
        raw = msgspec.json.encode({"additional_data": placed, "error": error})
        detail = KnownDetail(Detail(error_message=error, raw=msgspec.Raw(raw)))
        seen = Observation(
            task_id=tale.task_id, status=status, task_type=tale.task_type, details=detail
        )
        sequence = watch.sequence + 1
        event = task_event(
            watch,
            seen,
            namespace=watch.namespace,
            sequence=sequence,
            at=at,
            event_id=f"msg_{self._events:024d}",
            channels=tuple(tale.channels) if sequence > 1 or ended else (),
        )
        after = replace(
            watch,
            status=status,
            sequence=sequence,
            state=WatchState.DONE if ended else WatchState.ACTIVE,
            task_type=tale.task_type,
            error_message=error,
            first_seen_at=watch.first_seen_at or at,
            changed_at=at,
            batch=tale.batch,
        )
        change = Change(watch=after, expected_sequence=watch.sequence, event=event)
        self._clock.shown = at + 0.004
        assert await self._store.record([change]) == [True]
        self._clock.shown = self._now
        return after

    async def _pending(self, channel: str) -> AsyncIterator[Delivery]:
        while page := await self._store.due(channel, self._now, 100):
            for due in page:
                found = await self._store.delivery(due.id)
                assert found is not None
                yield found[0]

    async def _settle(self, delivery: Delivery) -> None:
        at = delivery.created_at + 0.002
        self._clock.shown = at + 0.012
        if delivery.channel == "backend":
            delivered = AttemptResult(
                delivery_id=delivery.id,
                state=DeliveryState.DELIVERED,
                attempted_at=at,
                scheduled=1,
                last_status=204,
                duration=0.012,
            )
            await self._store.settle([delivered])
            return
        for number in range(1, 4):
            failed = number == 3 and delivery.channel == "alerts"
            result = AttemptResult(
                delivery_id=delivery.id,
                state=DeliveryState.FAILED if failed else DeliveryState.PENDING,
                attempted_at=at + 20 * number,
                scheduled=number,
                next_attempt_at=None if failed else self._now + 3600,
                last_error=f"503 Service Unavailable: {MARKUP}"
                if number == 2
                else "503 Service Unavailable",
                last_status=503,
                duration=0.08,
                response=f"upstream connect error {MARKUP}",
            )
            await self._store.settle([result])

    async def _suspend(
        self, channel: str, kind: SuspensionKind, reason: str, seconds: float
    ) -> None:
        suspension = Suspension(
            channel=channel, kind=kind, reason=reason, since=self._now - seconds
        )
        await self._store.suspend(suspension, None, None)


def show_upstream(upstream: FakeUpstream, tales: Sequence[Tale]) -> None:
    """Let the fake API show the running tasks as the store knows them, without the lost one, and
    the batch of the failed task.
    """
    upstream.set(FAILED_TASK, "FAILED", task_type=BATCHES)
    upstream.api.batches[BATCH] = {
        "batch_id": BATCH,
        "bucket_id": "bkt_media",
        "task_id": FAILED_TASK,
        "status": "FAILED",
        "object_ids": [],
    }
    for tale in tales:
        running = tale.statuses and tale.statuses[-1] not in TERMINAL_STATUSES
        if running and not tale.lost and tale.source == "mixpeek":
            placed = {"batch_id": tale.batch} if tale.batch else {}
            upstream.set(
                tale.task_id,
                tale.statuses[-1],
                task_type=tale.task_type,
                additional_data=placed,
            )
