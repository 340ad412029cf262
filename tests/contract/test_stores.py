"""What `watcher.core.interfaces.store.Store` promises, for every store found in the folder."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.records import KEY, event, request, settled, step
from watcher.configuration import plugins
from watcher.core.channels import Suspension, SuspensionKind
from watcher.core.deliveries import Attempt, DeliveryState
from watcher.core.events import Change, EventFilter
from watcher.core.interfaces.store import Store
from watcher.core.outage import Outage
from watcher.core.tasks import (
    DiscoveredTask,
    OperationScope,
    TaskKey,
    Watch,
    WatchFilter,
    WatchState,
)

pytestmark = pytest.mark.anyio

NOW = 1000.0
FOREVER = 10_000_000.0


def opened(name: str, folder: Path) -> Any:
    return plugins.load("stores", name).create(f"{name}:///{folder}/watcher.db")


@pytest.fixture(params=plugins.names("stores"))
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with opened(request.param, tmp_path) as opened_store:
        yield opened_store


async def watched(store: Store, task_id: str = KEY.task_id, **labels: str) -> Watch:
    return (await store.add([request(task_id, **labels)], NOW)).watches[0]


async def all_due(store: Store, channel: str = "backend") -> list[int]:
    return [delivery.id for delivery in await store.due(channel, FOREVER, 1000)]


async def test_adding_twice_merges_labels_and_adds_one_watch(store: Store) -> None:
    first = await store.add([request(team="search", tier="1")], NOW)
    again = await store.add([request(tier="2")], NOW + 1)

    assert (first.added, first.existing, first.reactivated) == (1, 0, frozenset({KEY}))
    assert (again.added, again.existing, again.reactivated) == (0, 1, frozenset())
    assert again.watches[0].labels == {"team": "search", "tier": "2"}
    assert again.watches[0].added_at == NOW


async def test_a_task_named_twice_in_one_call_is_added_once(store: Store) -> None:
    added = await store.add([request(a="1"), request(b="2")], NOW)

    assert (added.added, added.existing) == (1, 1)
    assert added.watches[0] == added.watches[1]
    assert added.watches[0].labels == {"a": "1", "b": "2"}


async def test_a_lost_watch_added_again_is_stirred_and_a_done_one_is_not(store: Store) -> None:
    lost, done = await watched(store, "lost"), await watched(store, "done")
    await store.record([step(done, "COMPLETED")])
    await store.record([Change(watch=replace(lost, lost_at=NOW), expected_sequence=0)])

    added = await store.add([request("lost"), request("done")], NOW)

    assert added.reactivated == {lost.key}
    assert added.watches[1].state is WatchState.DONE


async def test_pages_hold_everything_once_newest_first(store: Store) -> None:
    await store.add([request(f"task_{number}") for number in range(25)], NOW)

    seen: list[str] = []
    cursor: str | None = None
    while True:
        page, cursor = await store.list_watches(WatchFilter(), 10, cursor)
        seen += [watch.key.task_id for watch in page]
        if cursor is None:
            break

    assert seen == [f"task_{number}" for number in reversed(range(25))]


async def test_a_foreign_cursor_is_refused(store: Store) -> None:
    for cursor in ("", "nonsense", "bm9uc2Vuc2U=", "é"):
        with pytest.raises(ValueError, match="cursor"):
            await store.list_watches(WatchFilter(), 10, cursor)


async def test_filters_select_by_status_state_and_every_label(store: Store) -> None:
    running = await watched(store, "running", team="search", tier="1")
    await watched(store, "unseen", team="search")
    done = await watched(store, "done", team="ads")
    await store.record([step(running, "IN_PROGRESS"), step(done, "COMPLETED")])

    async def found(**chosen: Any) -> set[str]:
        page, _ = await store.list_watches(WatchFilter(**chosen), 100, None)
        return {watch.key.task_id for watch in page}

    assert await found(statuses=("IN_PROGRESS", "COMPLETED")) == {"running", "done"}
    assert await found(state=WatchState.ACTIVE) == {"running", "unseen"}
    assert await found(labels={"team": "search"}) == {"running", "unseen"}
    assert await found(labels={"team": "search", "tier": "1"}) == {"running"}


async def test_a_change_stores_the_watch_its_event_and_a_delivery_for_each_channel(
    store: Store,
) -> None:
    watch = await watched(store)

    assert await store.record([step(watch, "IN_PROGRESS", channels=("backend", "alerts"))]) == [
        True
    ]

    stored = (await store.watches([KEY]))[KEY]
    assert (stored.status, stored.sequence, stored.first_seen_at) == ("IN_PROGRESS", 1, 100.0)
    assert [one.sequence for one in await store.transitions(KEY)] == [1]
    assert len(await all_due(store, "backend")) == len(await all_due(store, "alerts")) == 1


async def test_a_change_from_another_sequence_or_of_a_removed_watch_leaves_no_trace(
    store: Store,
) -> None:
    watch = await watched(store)
    first, second = step(watch, "IN_PROGRESS"), step(watch, "FAILED")
    assert await store.record([first]) == [True]

    assert await store.record([second]) == [False]
    assert await store.remove(KEY)
    assert await store.record([step(first.watch, "FAILED")]) == [False]

    assert len(await store.events_after(0, 100)) == 1


async def test_two_changes_of_one_watch_apply_in_order_in_one_call(store: Store) -> None:
    watch = await watched(store)
    first = step(watch, "IN_PROGRESS")
    second = step(first.watch, "COMPLETED")

    assert await store.record([first, second, step(second.watch, "FAILED")]) == [True, True, False]
    assert (await store.watches([KEY]))[KEY].status == "COMPLETED"


async def test_a_step_keeps_labels_that_were_merged_after_the_watch_was_read(store: Store) -> None:
    watch = await watched(store)
    await store.add([request(team="search")], NOW)

    await store.record([step(watch, "IN_PROGRESS")])

    assert (await store.watches([KEY]))[KEY].labels == {"team": "search"}


async def test_the_event_number_grows_and_resumes_without_a_gap(store: Store) -> None:
    watch = await watched(store)
    assert await store.last_event_id() == 0
    first = step(watch, "IN_PROGRESS")
    await store.record([first, step(first.watch, "COMPLETED")])

    events = await store.events_after(0, 100)

    assert [one.id for one in events] == [1, 2]
    assert [one.status for one in await store.events_after(1, 100)] == ["COMPLETED"]
    assert await store.last_event_id() == 2


async def line_of(store: Store, count: int, task_id: str = KEY.task_id) -> Watch:
    watch = await watched(store, task_id)
    for _ in range(count):
        change = step(watch, "IN_PROGRESS")
        await store.record([change])
        watch = change.watch
    return watch


async def test_only_the_head_of_a_line_is_due_and_its_end_makes_the_next_one_head(
    store: Store,
) -> None:
    await line_of(store, 3)

    assert await all_due(store) == [1]
    await store.settle([settled(1, DeliveryState.DELIVERED)])
    assert await all_due(store) == [2]
    await store.settle([settled(2, DeliveryState.FAILED)])
    assert await all_due(store) == [3]


async def test_lines_do_not_wait_for_one_another(store: Store) -> None:
    await line_of(store, 2, "task_1")
    await line_of(store, 2, "task_2")

    assert await all_due(store) == [1, 3]


async def test_due_is_soonest_first_and_respects_the_time(store: Store) -> None:
    for number in range(3):
        await line_of(store, 1, f"task_{number}")
    await store.settle([settled(1, DeliveryState.PENDING, next_attempt_at=500.0)])

    assert [one.id for one in await store.due("backend", 200.0, 10)] == [2, 3]
    assert [one.id for one in await store.due("backend", 500.0, 10)] == [2, 3, 1]
    assert await store.next_due_at("backend", 0.0) == 100.0
    assert await store.next_due_at("backend", 100.0) == 500.0
    await store.settle([settled(2, DeliveryState.DELIVERED), settled(3, DeliveryState.DELIVERED)])
    assert await store.next_due_at("backend", 0.0) == 500.0
    assert await store.next_due_at("backend", 500.0) is None
    assert await store.next_due_at("alerts", 0.0) is None


async def test_a_refused_attempt_is_counted_and_remembered(store: Store) -> None:
    await line_of(store, 1)
    await store.settle(
        [settled(1, DeliveryState.PENDING, at=110.0, next_attempt_at=115.0, not_before=112.0)]
    )
    await store.settle([settled(1, DeliveryState.PENDING, at=116.0, next_attempt_at=150.0)])

    (delivery,) = await store.due("backend", 200.0, 10)

    assert (delivery.attempts, delivery.first_attempt_at, delivery.last_attempt_at) == (
        2,
        110.0,
        116.0,
    )
    assert (delivery.next_attempt_at, delivery.not_before) == (150.0, None)


async def test_later_ones_pass_when_the_wait_is_over_and_the_passed_one_is_still_tried(
    store: Store,
) -> None:
    await line_of(store, 3)
    await store.settle(
        [settled(1, DeliveryState.PENDING, next_attempt_at=5000.0, unblocks_at=700.0)]
    )
    assert await store.next_due_at("backend", 600.0) == 700.0
    assert await store.unblock_expired("backend", 699.0) == 0

    assert await store.unblock_expired("backend", 700.0) == 1

    assert await all_due(store) == [2, 1]
    assert await store.unblock_expired("backend", 900.0) == 0
    await store.settle([settled(2, DeliveryState.DELIVERED)])
    assert await all_due(store) == [3, 1]


async def test_a_refused_body_lets_later_ones_pass_at_once(store: Store) -> None:
    await line_of(store, 2)

    await store.settle(
        [settled(1, DeliveryState.PENDING, at=100.0, next_attempt_at=5000.0, unblocks_at=100.0)]
    )

    assert await all_due(store) == [2, 1]


async def test_hasten_makes_what_was_tried_before_due_oldest_first_but_keeps_not_before(
    store: Store,
) -> None:
    for number in range(4):
        await line_of(store, 1, f"task_{number}")
    await store.settle(
        [
            settled(1, DeliveryState.PENDING, at=100.0, next_attempt_at=9000.0),
            settled(2, DeliveryState.PENDING, at=150.0, next_attempt_at=8000.0),
            settled(3, DeliveryState.PENDING, at=100.0, next_attempt_at=7000.0, not_before=600.0),
        ]
    )

    assert await store.make_due("backend", 140.0, 200.0) == 2

    assert [one.id for one in await store.due("backend", 300.0, 10)] == [1, 4]
    assert [one.id for one in await store.due("backend", 700.0, 10)] == [1, 4, 3]


async def test_the_stalest_is_the_one_that_was_tried_longest_ago(store: Store) -> None:
    for number in range(3):
        await line_of(store, 1, f"task_{number}")
    await store.settle(
        [
            settled(1, DeliveryState.PENDING, at=120.0, next_attempt_at=9000.0),
            settled(2, DeliveryState.PENDING, at=110.0, next_attempt_at=9000.0),
            settled(3, DeliveryState.PENDING, at=130.0, next_attempt_at=9000.0),
        ]
    )

    assert [one.id for one in await store.due_for_probe("backend", 2)] == [2, 1]


async def test_retry_makes_a_failed_delivery_due_with_a_fresh_schedule(store: Store) -> None:
    await line_of(store, 2)
    await store.settle([settled(1, DeliveryState.FAILED)])

    delivery = await store.retry(1, NOW)

    assert delivery is not None
    assert (delivery.state, delivery.attempts, delivery.next_attempt_at) == (
        DeliveryState.PENDING,
        1,
        NOW,
    )
    assert sorted(await all_due(store)) == [1, 2]
    assert await store.retry(99, NOW) is None


async def test_retrying_the_head_of_a_line_does_not_block_it(store: Store) -> None:
    await line_of(store, 2)

    await store.retry(1, NOW)

    assert sorted(await all_due(store)) == [1, 2]


async def test_replay_queues_what_was_told_in_order_under_the_old_ids(store: Store) -> None:
    await line_of(store, 3)
    before = [one.event_id for one in await store.events_after(0, 10)]
    for number in (1, 2):
        await store.settle([settled(number, DeliveryState.DELIVERED)])

    assert await store.replay("backend", EventFilter(since=0.0), NOW) == 2

    seen = []
    while due := await store.due("backend", FOREVER, 10):
        assert len(due) == 1
        seen.append(due[0].event_id)
        await store.settle([settled(due[0].id, DeliveryState.DELIVERED)])
    assert seen == before


async def test_replay_covers_the_span_alone_and_what_was_retired(store: Store) -> None:
    watch = await watched(store)
    first = step(watch, "IN_PROGRESS", at=100.0)
    await store.record([first, step(first.watch, "QUEUED", at=200.0)])
    await store.settle([settled(1, DeliveryState.DELIVERED), settled(2, DeliveryState.DELIVERED)])

    assert await store.replay("backend", EventFilter(since=150.0, until=300.0), NOW) == 1
    assert await store.replay("nobody", EventFilter(since=0.0), NOW) == 0
    assert await store.replay("backend", EventFilter(since=300.0), NOW) == 0


async def test_replay_chooses_by_status_and_task(store: Store) -> None:
    for task_id in ("task_1", "task_2"):
        watch = await watched(store, task_id)
        first = step(watch, "IN_PROGRESS", at=100.0)
        await store.record([first, step(first.watch, "FAILED", at=200.0)])
    await store.settle([settled(number, DeliveryState.DELIVERED) for number in range(1, 5)])

    async def queued(**chosen: Any) -> int:
        count = await store.replay("backend", EventFilter(since=0.0, **chosen), NOW)
        await store.settle([settled(number, DeliveryState.DELIVERED) for number in range(1, 5)])
        return count

    assert await queued(statuses=("FAILED",)) == 2
    assert await queued(task_ids=("task_1",)) == 2
    assert await queued(statuses=("FAILED",), task_ids=("task_1", "task_3")) == 1
    assert await queued(statuses=("QUEUED",)) == 0


async def test_the_last_attempts_are_kept_and_go_with_their_delivery(store: Store) -> None:
    await line_of(store, 1)
    for number in range(1, 61):
        refused = settled(1, DeliveryState.PENDING, at=float(number), next_attempt_at=0.0)
        said = replace(
            refused, last_status=503, last_error="HTTP 503", duration=0.5, response=f"no {number}"
        )
        await store.settle([said])
    await store.settle([replace(settled(1, DeliveryState.DELIVERED, at=61.0), last_status=204)])

    delivery, attempts = await store.delivery(1) or (None, [])
    assert delivery is not None
    assert (delivery.attempts, delivery.state) == (61, DeliveryState.DELIVERED)
    assert [one.number for one in attempts] == [*range(12, 62)]
    assert attempts[0] == Attempt(
        number=12, at=12.0, duration=0.5, status=503, error="HTTP 503", response="no 12"
    )
    assert attempts[-1] == Attempt(
        number=61, at=61.0, duration=0.0, status=204, error=None, response=None
    )

    await store.purge("backend", DeliveryState.DELIVERED, FOREVER)
    assert await store.delivery(1) is None


async def test_what_is_purged_is_gone_and_the_next_of_its_line_is_due(store: Store) -> None:
    first = step(await watched(store), "QUEUED", at=100.0)
    second = step(first.watch, "IN_PROGRESS", at=200.0)
    await store.record([first, second, step(second.watch, "FAILED", at=300.0)])
    await store.settle([settled(1, DeliveryState.DELIVERED)])

    assert await store.purge("backend", DeliveryState.PENDING, 250.0) == 1
    assert await all_due(store) == [3]
    assert await store.purge("backend", DeliveryState.DELIVERED, FOREVER) == 1
    assert await store.purge("nobody", DeliveryState.PENDING, FOREVER) == 0
    assert [one.id for one in (await store.list_deliveries(None, "backend", 10, None))[0]] == [3]


async def test_of_what_waits_beyond_a_bound_the_oldest_fail_and_each_line_goes_on(
    store: Store,
) -> None:
    first = step(await watched(store), "QUEUED", at=100.0)
    second = step(first.watch, "IN_PROGRESS", at=200.0)
    await store.record([first, second, step(second.watch, "FAILED", at=300.0)])

    assert await store.trim_pending("backend", 3, "too many") == 0
    assert await store.trim_pending("backend", 1, "too many") == 2
    found, _ = await store.list_deliveries(DeliveryState.FAILED, "backend", 10, None)
    assert [(one.id, one.last_error) for one in found] == [(2, "too many"), (1, "too many")]
    assert await all_due(store) == [3]
    assert await store.trim_pending("nobody", 0, "too many") == 0
    await store.retry(1, NOW)
    assert sorted(await all_due(store)) == [1, 3]


async def test_failed_deliveries_retire_where_that_is_asked_for(store: Store) -> None:
    await store.record([step(await watched(store), "COMPLETED", at=100.0)])
    await store.settle([settled(1, DeliveryState.FAILED)])
    await store.prune(before=FOREVER)
    assert await store.delivery(1) is not None
    await store.prune(before=50.0, failed_too=True)
    assert await store.delivery(1) is not None
    await store.prune(before=FOREVER, failed_too=True)
    assert await store.delivery(1) is None
    assert await store.find(KEY.task_id) == []


async def test_notes_are_each_channels_own_and_go_with_the_retention(store: Store) -> None:
    await store.write_note("backend", "batch_1", b"old", NOW)
    await store.write_note("backend", "batch_1", b"new", NOW + 1)
    await store.write_note("alerts", "batch_1", b"theirs", NOW + 500)
    assert await store.read_note("backend", "batch_1") == b"new"
    assert await store.read_note("backend", "batch_2") is None
    await store.prune(NOW + 100)
    assert await store.read_note("backend", "batch_1") is None
    assert await store.read_note("alerts", "batch_1") == b"theirs"


async def test_the_store_says_how_much_it_holds(store: Store) -> None:
    before = await store.size()
    for number in range(5):
        await store.record([step(await watched(store, f"task_{number}" * 1000), "QUEUED")])
    after = await store.size()
    assert before.used < after.used < after.limit == before.limit
    assert 0 < after.used_share < 1


async def test_what_is_old_and_finished_retires_and_nothing_else_does(store: Store) -> None:
    for task_id in ("delivered", "pending", "failed", "active"):
        watch = await watched(store, task_id)
        await store.record(
            [step(watch, "IN_PROGRESS" if task_id == "active" else "COMPLETED", at=100.0)]
        )
    ids = {one.task_id: one.id for one in (await store.list_deliveries(None, None, 10, None))[0]}
    await store.settle(
        [
            settled(ids["delivered"], DeliveryState.DELIVERED),
            settled(ids["failed"], DeliveryState.FAILED),
            settled(ids["active"], DeliveryState.DELIVERED),
        ]
    )

    assert await store.prune(before=FOREVER * 1000) > 0

    watches = {
        watch.key.task_id for watch in (await store.list_watches(WatchFilter(), 10, None))[0]
    }
    deliveries = {one.task_id for one in (await store.list_deliveries(None, None, 10, None))[0]}
    assert watches == {"pending", "active"}
    assert deliveries == {"pending", "failed"}
    assert len(await store.transitions(TaskKey("mixpeek", "active"))) == 1
    assert len(await store.transitions(TaskKey("mixpeek", "delivered"))) == 0


async def test_troubles_are_kept_with_the_event_that_tells_of_them(store: Store) -> None:
    notice = event(1, key=None, channels=("alerts",), order_key="channel backend")
    trouble = Outage(subject="channel backend", since=50.0, alerted_at=350.0)

    await store.record_outage(notice, trouble)
    assert await store.outage("channel backend") == trouble
    assert await store.outage("source backend") is None
    assert len(await all_due(store, "alerts")) == 1

    await store.record_outage(None, None, recovered="channel backend")
    assert await store.outage("channel backend") is None


async def test_the_outbox_counts_every_channel(store: Store) -> None:
    await line_of(store, 2)
    await store.settle([settled(1, DeliveryState.FAILED)])

    (depth,) = await store.outbox()

    assert (depth.channel, depth.pending, depth.failed, depth.oldest_created_at) == (
        "backend",
        1,
        1,
        100.0,
    )


async def test_a_caller_that_is_cancelled_leaves_the_store_working(store: Store) -> None:
    async def add(number: int) -> None:
        await store.add([request(f"task_{number}")], NOW)

    for deadline in (0.0, 0.0001, 0.001):
        with anyio.move_on_after(deadline):
            async with anyio.create_task_group() as tasks:
                for number in range(5):
                    tasks.start_soon(add, number)

    added = await store.add([request("after")], NOW)
    assert added.added == 1


async def test_many_writers_at_once_all_get_their_own_answer(store: Store) -> None:
    results: dict[int, int] = {}

    async def add(number: int) -> None:
        results[number] = (await store.add([request(f"task_{number % 10}")], NOW)).added

    async with anyio.create_task_group() as tasks:
        for number in range(40):
            tasks.start_soon(add, number)

    assert sum(results.values()) == 10


Operation = tuple[str, int]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    operations=st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "record",
                    "deliver",
                    "fail",
                    "refuse",
                    "poison",
                    "pass",
                    "retry",
                    "replay",
                    "hasten",
                ]
            ),
            st.integers(0, 5),
        ),
        max_size=30,
    )
)
@pytest.mark.parametrize("name", plugins.names("stores"))
async def test_every_line_always_has_its_oldest_as_head_and_nothing_is_lost(
    name: str, operations: list[Operation], tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with opened(name, tmp_path_factory.mktemp("lines")) as store:
        watches = [await watched(store, f"task_{number}") for number in range(2)]
        recorded = 0
        for operation, number in operations:
            recorded += await _apply(store, operation, number, watches)
            await _assert_heads(store)
        while due := await store.due("backend", FOREVER, 100):
            await store.settle([settled(one.id, DeliveryState.DELIVERED) for one in due])
        ended, _ = await store.list_deliveries(None, None, 1000, None)
        assert len(ended) == recorded
        assert all(one.state is not DeliveryState.PENDING for one in ended)


async def _apply(store: Store, operation: str, number: int, watches: list[Watch]) -> int:
    due = await store.due("backend", FOREVER, 100)
    chosen = due[number % len(due)].id if due else None
    if operation == "record":
        change = step(watches[number % 2], "IN_PROGRESS")
        watches[number % 2] = change.watch
        await store.record([change])
        return 1
    if operation == "retry":
        await store.retry(number + 1, NOW)
    elif operation == "replay":
        await store.replay("backend", EventFilter(since=0.0), NOW)
    elif operation == "hasten":
        await store.make_due("backend", FOREVER, NOW)
    elif operation == "pass":
        await store.unblock_expired("backend", FOREVER)
    elif chosen is not None:
        state = {"deliver": DeliveryState.DELIVERED, "fail": DeliveryState.FAILED}.get(
            operation, DeliveryState.PENDING
        )
        unblocks_at = {"refuse": 800.0, "poison": 100.0}.get(operation)
        await store.settle([settled(chosen, state, next_attempt_at=900.0, unblocks_at=unblocks_at)])
    return 0


async def _assert_heads(store: Store) -> None:
    """Whatever is pending is due, or waits behind something older of its task that is."""
    due = {one.id for one in await store.due("backend", FOREVER, 1000)}
    pending, _ = await store.list_deliveries(DeliveryState.PENDING, None, 1000, None)
    for task_id in {one.task_id for one in pending}:
        line = sorted(one.id for one in pending if one.task_id == task_id)
        waiting = [number for number in line if number not in due]
        assert due & set(line)
        assert not waiting or any(number < waiting[0] for number in due & set(line))


# Discovery and uploads


def shown(task_id: str, status: str | None = "IN_PROGRESS") -> DiscoveredTask:
    return DiscoveredTask(task_id, status, "api_x")


async def test_what_a_rule_shows_is_new_once(store: Store) -> None:
    assert not await store.rule_ran("rule")
    page = [shown("task_1"), shown("task_2", "FAILED"), shown("task_1")]
    new, added = await store.discover("rule", "mixpeek", page, {"by": "rule"}, NOW, silent=True)
    assert (new, added.added, [watch.key.task_id for watch in added.watches]) == (2, 1, ["task_1"])
    done = (await store.find("task_2"))[0]
    assert (done.state, done.status, done.sequence, dict(done.labels)) == (
        WatchState.DONE,
        "FAILED",
        0,
        {"by": "rule"},
    )
    await store.rule_finished("rule", NOW, None)
    assert await store.rule_ran("rule")
    page.append(shown("task_3", "FAILED"))
    new, added = await store.discover("rule", "mixpeek", page, {}, NOW, silent=False)
    assert (new, [watch.key.task_id for watch in added.watches]) == (1, ["task_3"])
    assert added.reactivated == {TaskKey("mixpeek", "task_3")}
    assert (await store.discover("other", "mixpeek", page, {}, NOW, silent=False))[0] == 3


async def test_what_a_rule_no_longer_shows_is_forgotten_and_the_rest_is_not(store: Store) -> None:
    day = 86400.0
    await store.discover("rule", "mixpeek", [shown("gone"), shown("kept")], {}, NOW, silent=False)
    await store.discover("rule", "mixpeek", [shown("kept")], {}, NOW + 10 * day, silent=False)
    await store.rule_finished("rule", NOW + 10 * day, NOW + 3 * day)
    page = [shown("gone"), shown("kept")]
    assert (await store.discover("rule", "mixpeek", page, {}, NOW + 10 * day, silent=False))[0] == 1


async def test_an_upload_is_claimed_before_and_settled_after(store: Store) -> None:
    bucket, other = OperationScope("mixpeek", "bkt"), OperationScope("mixpeek", "other")
    assert await store.claim_operations(bucket, ["u1", "u2"], NOW) == {}
    assert await store.claim_operations(bucket, ["u1", "u3"], NOW) == {"u1": None}
    assert await store.claim_operations(other, ["u1"], NOW) == {}
    added = await store.complete_operations(bucket, ["u1", "u2"], request("task_c"), NOW)
    assert [watch.key.task_id for watch in added.watches] == ["task_c"]
    await store.release_operations(bucket, ["u1", "u3"])
    assert await store.claim_operations(bucket, ["u1", "u2", "u3"], NOW) == {
        "u1": "task_c",
        "u2": "task_c",
    }
    await store.prune(NOW + 1)
    assert await store.claim_operations(bucket, ["u1", "u2", "u3"], NOW) == {}


async def test_what_has_not_changed_is_found_until_it_was_told_or_changes(store: Store) -> None:
    for number, status in enumerate(("PENDING", "IN_PROGRESS", "DRAFT", "IN_PROGRESS")):
        (watch,) = (await store.add([request(f"task_{number}")], NOW)).watches
        await store.record([step(watch, status, at=NOW + number)])
    (told,) = await store.find("task_1")
    await store.record(
        [Change(watch=replace(told, stalled_at=NOW + 9), expected_sequence=told.sequence)]
    )

    async def unchanged(before: float) -> list[str]:
        found = store.unchanged_watches("mixpeek", before)
        return [watch.key.task_id async for part in found for watch in part]

    assert await unchanged(NOW + 10) == ["task_0", "task_3"]
    assert await unchanged(NOW + 2) == ["task_0"]
    (told,) = await store.find("task_1")
    assert told.stalled_at == NOW + 9


async def test_a_hold_is_stored_with_what_tells_of_it_until_it_is_released(store: Store) -> None:
    paused = Suspension(channel="backend", kind=SuspensionKind.PAUSED, reason="it moves", since=1.0)
    stopped = Suspension(
        channel="backend", kind=SuspensionKind.STOPPED, reason="HTTP 410", since=2.0
    )
    trouble = Outage(subject="channel backend", since=2.0, alerted_at=2.0)
    await store.suspend(paused, None, None)
    assert await store.suspensions() == [paused]
    await store.suspend(stopped, None, trouble)
    assert await store.suspensions() == [stopped]
    assert await store.outage("channel backend") == trouble
    await store.lift_suspension("backend")
    await store.lift_suspension("nobody")
    assert await store.suspensions() == []
