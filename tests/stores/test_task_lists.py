"""Lists of tasks, as SQLite plans them at 100,000 watches."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.records import request
from watcher.core.reading import TaskOrder, TaskSelection
from watcher.core.tasks import WatchFilter
from watcher.stores._task_lists import Place, TaskList, TaskListReader, place
from watcher.stores.sqlite import store as sqlite
from watcher.stores.sqlite.connection import connect_reader, open_file
from watcher.stores.sqlite.numbered import NumberedConnection
from watcher.stores.sqlite.page_reader import PageReader
from watcher.stores.sqlite.schema import migrations
from watcher.stores.sqlite.sizes import Volume, free_space
from watcher.stores.sqlite.task_lists import DIALECT

NOW = 1_800_000_000.0


@given(at=st.floats(min_value=0, max_value=1e12), number=st.integers(0, 10**18 - 1))
def test_a_place_is_the_same_after_it_was_a_cursor(at: float, number: int) -> None:
    assert place(Place(at, number).text(TaskOrder.ENDED), TaskOrder.ENDED) == (at, number)
    assert place(Place(at, number).text(TaskOrder.ADDED), TaskOrder.ADDED) == (0.0, number)


# Many watches


COUNT = 100_000


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store with 100,000 watches: one of a hundred failed, one of a thousand runs."""
    file = tmp_path_factory.mktemp("large") / "watcher.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        for script in migrations():
            connection.executescript(script)
        connection.executemany(
            "INSERT INTO watches (source, task_id, state, status, error_message, added_at,"
            " changed_at, batch, task_type) VALUES ('mixpeek', ?, ?, ?, ?, 1, ?, ?, 'api_x')",
            (
                (
                    f"task_{number}",
                    "active" if number % 1000 == 0 else "done",
                    ("IN_PROGRESS" if number % 1000 == 0 else "FAILED")
                    if number % 100 == 0
                    else "COMPLETED",
                    "no space left" if number % 100 == 0 else None,
                    NOW + number * 7919 % COUNT,
                    f"batch_{number // 200}",
                )
                for number in range(COUNT)
            ),
        )
        connection.commit()
    yield file


PLANS = [
    (TaskSelection(), "SEARCH watches USING INTEGER PRIMARY KEY"),
    (TaskSelection(running=True), "watches_active"),
    (TaskSelection(statuses=("IN_PROGRESS",)), "watches_active"),
    (TaskSelection(statuses=("FAILED",)), "watches_ended (status=? AND changed_at<?)"),
    (TaskSelection(statuses=("FAILED", "CANCELED")), "watches_ended (status=? AND changed_at<?)"),
    (
        TaskSelection(statuses=("FAILED",), changed_since=NOW),
        "watches_ended (status=? AND changed_at",
    ),
    (
        TaskSelection(statuses=("FAILED",), changed_since=NOW, error="x"),
        "watches_failed (status=? AND <expr>=? AND changed_at>? AND changed_at<?)",
    ),
    (TaskSelection(statuses=("COMPLETED",)), "watches_done (changed_at<?)"),
    (TaskSelection(lost=True), "watches_lost"),
    (TaskSelection(stalled=True), "watches_stalled"),
    (TaskSelection(batch="batch_1"), "watches_batch (batch=? AND id<?)"),
    (TaskSelection(batch="batch_1", statuses=("FAILED",)), "watches_batch (batch=? AND id<?)"),
]


@pytest.mark.parametrize(("selected", "index"), PLANS, ids=lambda value: str(value)[:60])
@pytest.mark.parametrize("further", [True, False])
def test_each_list_is_a_seek_in_its_index(
    large: Path, selected: TaskSelection, index: str, further: bool
) -> None:
    tasks = TaskList(selected, DIALECT)
    where = tasks.between(place(None, tasks.order))
    statement = tasks.statement(", task_id", where, further=further)
    with closing(sqlite3.connect(large, factory=NumberedConnection)) as connection:
        plan = [
            row[3]
            for row in connection.execute(
                f"EXPLAIN QUERY PLAN {statement.sql}", [*statement.parameters, 10, 0]
            )
        ]
    assert index in plan[0], plan
    small = selected.lost or selected.stalled or len(selected.statuses) > 1
    assert small or not any("TEMP B-TREE" in step for step in plan), plan


def test_a_step_over_what_has_ended_reads_no_row() -> None:
    """The index has no status, so a step may end at a row that is not on the list."""
    selected = TaskSelection(statuses=("COMPLETED", "FAILED"), labels={"team": "x"})
    tasks = TaskList(selected, DIALECT)
    first = place(None, tasks.order)
    assert "status" in tasks.between(first).sql
    assert "status" not in tasks.after(first).sql


class Steps:
    """Counts the calls: a clock that moves on by a tenth of a second each time."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.1
        return self.now


@pytest.mark.anyio
async def test_a_search_ends_after_a_while_and_continues_where_it_was(large: Path) -> None:
    sizes = Volume(large, None, free_space).sizes()
    reader = PageReader(
        lambda: connect_reader(large, sizes, open_file), large, lambda: None, lambda: None
    )
    lists = TaskListReader(reader, DIALECT, Steps())
    try:
        selected = TaskSelection(search="task_100")
        found: list[str] = []
        cursor, pages, incomplete = None, 0, 0
        while True:
            page = await lists.page(selected, 50, cursor)
            pages, incomplete = pages + 1, incomplete + (not page.complete)
            found += [watch.key.task_id for watch in page.watches]
            if (cursor := page.next_cursor) is None:
                break
    finally:
        await reader.aclose()
    wanted = [f"task_{n}" for n in range(COUNT) if f"task_{n}".startswith("task_100")]
    assert sorted(found) == sorted(wanted)
    assert incomplete > 3, "each page reads only as many rows as its time allows"
    assert pages > incomplete


@pytest.mark.anyio
async def test_a_scan_goes_over_what_was_removed(large: Path, tmp_path: Path) -> None:
    file = tmp_path / "watcher.db"
    with closing(sqlite3.connect(large)) as source, closing(sqlite3.connect(file)) as copy:
        source.backup(copy)
        copy.execute("DELETE FROM watches WHERE id BETWEEN 30 AND 99000")
        copy.commit()
    sizes = Volume(file, None, free_space).sizes()
    reader = PageReader(
        lambda: connect_reader(file, sizes, open_file), file, lambda: None, lambda: None
    )
    try:
        lists = TaskListReader(reader, DIALECT, lambda: 0.0)
        page = await lists.page(TaskSelection(search="task_1"), 2000, None)
        assert page.complete
        found = [int(watch.key.task_id.removeprefix("task_")) for watch in page.watches]
        assert found == [*range(19, 9, -1), 1]
    finally:
        await reader.aclose()


@pytest.mark.parametrize(
    ("selected", "seconds"),
    [
        (TaskSelection(search="x"), 0.2),
        (TaskSelection(labels={"team": "search"}), 0.2),
        (TaskSelection(statuses=("FAILED",), labels={"team": "search"}), 0.2),
        (TaskSelection(error="x"), 0.2),
        (TaskSelection(source="mixpeek"), 0.04),
        (TaskSelection(task_type="api_*", namespace="production"), 0.04),
    ],
)
def test_only_a_text_or_a_label_is_looked_for_longer(
    selected: TaskSelection, seconds: float
) -> None:
    assert TaskList(selected, DIALECT).time == seconds


def test_the_last_failures_since_a_time_are_no_scan() -> None:
    assert TaskList(TaskSelection(statuses=("FAILED",), changed_since=NOW), DIALECT).is_sought


@pytest.mark.anyio
async def test_the_connection_of_pages_is_opened_when_it_is_first_used(tmp_path: Path) -> None:
    opened: list[Path] = []

    async def opener(path: Path) -> object:
        opened.append(path)
        return await open_file(path)

    async with sqlite.create(f"sqlite:///{tmp_path}/watcher.db", opener=opener) as store:  # type: ignore[arg-type]
        await store.add([request("task_1")], NOW)
        await store.summary(NOW)
        assert len(opened) == 2
        await store.version()
        await store.list_tasks(TaskSelection(), 10)
        assert len(opened) == 3


@pytest.mark.parametrize(
    ("selected", "scanned"),
    [
        (WatchFilter(), False),
        (WatchFilter(statuses=("FAILED",)), False),
        (WatchFilter(labels={"team": "x"}), True),
        (WatchFilter(statuses=("FAILED",), labels={"team": "x"}), False),
        (WatchFilter(search=""), True),
        (WatchFilter(error=""), True),
        (WatchFilter(changed_since=0.0), True),
    ],
)
def test_a_list_of_the_api_that_may_read_all_is_a_scan_that_ends(
    selected: WatchFilter, scanned: bool
) -> None:
    assert selected.is_scanned == scanned
