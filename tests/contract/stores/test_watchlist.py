"""What `Watchlist` promises, for every store."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import anyio
import pytest

from tests.contract.stores.harness import NOW, add_watch
from tests.support.records import KEY, request, step
from watcher.core import labels
from watcher.core.errors import TooManyLabelsError
from watcher.core.events import Change
from watcher.core.interfaces.store import Store
from watcher.core.ownership import SLOTS, slot
from watcher.core.tasks import DiscoveredTask, TaskKey, WatchFilter, WatchRequest, WatchState

pytestmark = pytest.mark.anyio


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


async def test_merged_labels_have_a_bound_and_too_many_add_nothing(store: Store) -> None:
    first = {f"a{number}": "1" for number in range(labels.MOST - 1)}
    await store.add([request(**first)], NOW)
    await store.add([request(a0="2", last="1")], NOW)
    full = (await store.watches([KEY]))[KEY].labels
    assert (len(full), full["a0"], full["last"]) == (labels.MOST, "2", "1")

    async with anyio.create_task_group() as others:  # their transaction is not lost
        others.start_soon(add_watch, store, "beside")
        with pytest.raises(TooManyLabelsError, match="at most 20 labels") as caught:
            await store.add([request("new"), request(further="1")], NOW)
    assert caught.value.task_id == KEY.task_id
    assert (await store.watches([KEY]))[KEY].labels == full
    assert not await store.find("new")
    assert await store.find("beside")

    same = await store.add([request(a1="3")], NOW)
    assert same.watches[0].labels == {**full, "a1": "3"}
    added = await store.discover("r", KEY.source, [listed(KEY)], {"rule": "1"}, NOW, silent=False)
    assert added[1].watches[0].labels == {**full, "a1": "3"}


def listed(key: TaskKey) -> DiscoveredTask:
    return DiscoveredTask(key.task_id, "IN_PROGRESS", None)


async def test_a_lost_watch_added_again_is_reactivated_and_a_done_one_is_not(store: Store) -> None:
    lost, done = await add_watch(store, "lost"), await add_watch(store, "done")
    await store.record([step(done, "COMPLETED")])
    await store.record([Change(watch=replace(lost, lost_at=NOW), expected_sequence=0)])

    added = await store.add([request("lost"), request("done")], NOW)

    assert added.reactivated == {lost.key}
    assert added.watches[1].state is WatchState.DONE


async def test_a_done_watch_added_again_is_reopened_where_the_request_says_so(
    store: Store,
) -> None:
    done = await add_watch(store, "done")
    await store.record([step(done, "FAILED")])

    added = await store.add([replace(request("done"), again=True)], NOW)
    reopened = added.watches[0]

    assert (added.added, added.reactivated) == (0, frozenset({done.key}))
    assert (reopened.state, reopened.status, reopened.sequence) == (WatchState.ACTIVE, "FAILED", 1)
    assert await store.record([step(reopened, "IN_PROGRESS")]) == [True]
    assert [one.sequence for one in await store.transitions(done.key)] == [1, 2]


async def test_an_active_watch_added_again_stays_as_it_is(store: Store) -> None:
    watch = await add_watch(store, "active")
    added = await store.add([replace(request("active"), again=True)], NOW)
    assert (added.watches[0], added.reactivated) == (watch, frozenset())


async def test_pages_hold_everything_once_newest_first(store: Store) -> None:
    await store.add([request(f"task_{number}") for number in range(25)], NOW)

    listed: list[str] = []
    cursor: str | None = None
    while True:
        page, cursor = await store.list_watches(WatchFilter(), 10, cursor)
        listed += [watch.key.task_id for watch in page]
        if cursor is None:
            break

    assert listed == [f"task_{number}" for number in reversed(range(25))]


async def test_an_invalid_cursor_raises_a_value_error(store: Store) -> None:
    for cursor in ("", "nonsense", "bm9uc2Vuc2U=", "é"):
        with pytest.raises(ValueError, match="cursor"):
            await store.list_watches(WatchFilter(), 10, cursor)


async def test_a_label_is_found_by_its_whole_name_and_value(store: Store) -> None:
    for task_id, pairs in {
        "plain": {"team": "search"},
        "quoted": {'x"team': "search"},
        "value": {"a": '"team":"search"', "team": "searching"},
        "second": {"a": "b", "team": "search"},
        "other": {"teäm": 'se"arch\\'},
    }.items():
        await store.add([request(task_id, **pairs)], NOW)

    async def labelled(**wanted: str) -> set[str]:
        watches, _ = await store.list_watches(WatchFilter(labels=wanted), 10, None)
        return {watch.key.task_id for watch in watches}

    assert await labelled(team="search") == {"plain", "second"}
    assert await labelled(**{'x"team': "search"}) == {"quoted"}
    assert await labelled(**{"teäm": 'se"arch\\'}) == {"other"}
    assert await labelled(a="b", team="search") == {"second"}
    assert await labelled(tea="m") == set()


async def test_statuses_select_what_runs_again_too(store: Store) -> None:
    for task_id in ("failed", "again", "canceled", "running", "done"):
        await add_watch(store, task_id)
    statuses = {
        "failed": "FAILED",
        "again": "FAILED",
        "canceled": "CANCELED",
        "running": "IN_PROGRESS",
        "done": "COMPLETED",
    }
    for task_id, status in statuses.items():
        (watch,) = await store.find(task_id)
        await store.record([step(watch, status)])
    await store.add([replace(request("again"), again=True)], NOW)

    async def having(*wanted: str, state: WatchState | None = None) -> list[str]:
        selected, found, cursor = WatchFilter(statuses=wanted, state=state), [], None
        while True:
            watches, cursor = await store.list_watches(selected, 1, cursor)
            found += [watch.key.task_id for watch in watches]
            if cursor is None:
                return found

    assert await having("FAILED") == ["again", "failed"]
    assert await having("FAILED", state=WatchState.DONE) == ["failed"]
    assert await having("FAILED", state=WatchState.ACTIVE) == ["again"]
    assert await having("FAILED", "CANCELED") == ["canceled", "again", "failed"]
    assert await having("FAILED", "IN_PROGRESS") == ["running", "again", "failed"]
    assert await having("COMPLETED", "CANCELED") == ["done", "canceled"]
    assert await having("IN_PROGRESS") == ["running"]
    assert await having("SKIPPED") == await having("QUEUED") == []


async def test_filters_select_by_status_state_and_every_label(store: Store) -> None:
    running = await add_watch(store, "running", team="search", tier="1")
    await add_watch(store, "unseen", team="search")
    done = await add_watch(store, "done", team="ads")
    await store.record([step(running, "IN_PROGRESS"), step(done, "COMPLETED")])

    async def selected(**filters: Any) -> set[str]:
        page, _ = await store.list_watches(WatchFilter(**filters), 100, None)
        return {watch.key.task_id for watch in page}

    assert await selected(statuses=("IN_PROGRESS", "COMPLETED")) == {"running", "done"}
    assert await selected(state=WatchState.ACTIVE) == {"running", "unseen"}
    assert await selected(labels={"team": "search"}) == {"running", "unseen"}
    assert await selected(labels={"team": "search", "tier": "1"}) == {"running"}


async def test_unchanged_watches_are_found_until_they_are_reported_as_stalled(store: Store) -> None:
    for number, status in enumerate(("PENDING", "IN_PROGRESS", "DRAFT", "IN_PROGRESS")):
        (watch,) = (await store.add([request(f"task_{number}")], NOW)).watches
        await store.record([step(watch, status, at=NOW + number)])
    (stalled,) = await store.find("task_1")
    await store.record(
        [Change(watch=replace(stalled, stalled_at=NOW + 9), expected_sequence=stalled.sequence)]
    )

    async def unchanged(before: float) -> list[str]:
        batches = store.unchanged_watches("mixpeek", before)
        return [watch.key.task_id async for batch in batches for watch in batch]

    assert await unchanged(NOW + 10) == ["task_0", "task_3"]
    assert await unchanged(NOW + 2) == ["task_0"]
    (stalled,) = await store.find("task_1")
    assert stalled.stalled_at == NOW + 9


async def test_active_watches_are_read_by_source_and_by_slot(store: Store) -> None:
    named = [(source, f"task_{number}") for source in ("a", "b", "c") for number in range(40)]
    keys = [TaskKey(*names) for names in named]
    await store.add([WatchRequest(key=key) for key in keys], NOW)
    (ended,) = (await store.watches([TaskKey("a", "task_7")])).values()
    await store.record([step(ended, "COMPLETED")])
    lower = range(SLOTS // 2)

    async def read(slots: Mapping[str, Collection[int] | None]) -> list[tuple[str, str]]:
        return [one[:2] async for batch in store.active_watches(slots) for one in batch]

    running = {one for one in named if one != ("a", "task_7")}
    assert sorted(await read(dict.fromkeys("abc"))) == sorted(running)
    wanted = {one for one in running if one[0] == "c" or (one[0] == "a" and slot(one[1]) in lower)}
    found = await read({"a": lower, "b": (), "c": None, "none": None})
    assert sorted(found) == sorted(wanted)
    scattered = {slot("task_1"), slot("task_2"), slot("task_7")}
    assert {one for _, one in await read({"a": scattered})} == {"task_1", "task_2"}


async def test_active_watches_of_other_sources_are_counted(store: Store) -> None:
    assert await store.active_elsewhere(["a"]) == 0
    keys = [TaskKey(source, f"task_{number}") for source in "abc" for number in range(3)]
    await store.add([WatchRequest(key=key) for key in keys], NOW)
    (ended,) = (await store.watches(keys[-1:])).values()
    await store.record([step(ended, "COMPLETED")])

    assert await store.active_elsewhere(["a"]) == 5
    assert await store.active_elsewhere(["a", "c", "z"]) == 3
    assert await store.active_elsewhere([]) == 8
