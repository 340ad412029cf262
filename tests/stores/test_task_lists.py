"""Lists of tasks, compared with a plain model, and with what SQLite plans at 100,000 watches."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from anyio import run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.records import request
from watcher.core.events import Change
from watcher.core.reading import TaskOrder, TaskSelection
from watcher.core.tasks import TERMINAL_STATUSES, Watch, WatchState
from watcher.stores._task_lists import Place, TaskList, TaskListReader, place
from watcher.stores.sqlite import store as sqlite
from watcher.stores.sqlite.connection import connect_reader, open_file
from watcher.stores.sqlite.numbered import NumberedConnection
from watcher.stores.sqlite.page_reader import PageReader
from watcher.stores.sqlite.schema import migrations
from watcher.stores.sqlite.sizes import Volume, free_space
from watcher.stores.sqlite.task_lists import DIALECT

NOW = 1_800_000_000.0
STATUSES = ("COMPLETED", "COMPLETED_WITH_ERRORS", "FAILED", "SKIPPED", "IN_PROGRESS", "QUEUED")
texts = st.text(alphabet="aAbß%_\\[*?] é", max_size=6)
ended_or_not = st.sampled_from((*STATUSES, None))

watches = st.builds(
    lambda status, at, batch, error, kind, labels, namespace, lost, stalled: {
        "status": status,
        "state": WatchState.DONE if status in TERMINAL_STATUSES else WatchState.ACTIVE,
        "changed_at": None if status is None else NOW + at,
        "batch": batch,
        "error_message": error,
        "task_type": kind,
        "labels": labels,
        "namespace": namespace,
        "lost_at": NOW if lost and status not in TERMINAL_STATUSES else None,
        "stalled_at": NOW if stalled and status not in TERMINAL_STATUSES else None,
    },
    ended_or_not,
    st.integers(0, 3).map(float),
    st.none() | texts.filter(bool),
    st.none() | texts,
    st.none() | texts,
    st.dictionaries(st.sampled_from(["team", "tier"]), st.sampled_from("ab"), max_size=2),
    st.none() | st.just("production"),
    st.booleans(),
    st.booleans(),
)
selections = st.builds(
    TaskSelection,
    statuses=st.lists(st.sampled_from(STATUSES), unique=True, max_size=3).map(tuple),
    running=st.booleans(),
    done=st.booleans(),
    lost=st.booleans(),
    stalled=st.booleans(),
    search=st.none() | texts.filter(bool),
    task_type=st.none() | texts.filter(bool),
    batch=st.none() | texts.filter(bool),
    source=st.none() | st.sampled_from(["mixpeek", "other"]),
    namespace=st.none() | st.just("production"),
    labels=st.dictionaries(st.just("team"), st.sampled_from("ab"), max_size=1),
    changed_since=st.none() | st.just(NOW + 1),
    order=st.sampled_from([None, TaskOrder.ADDED]),
)


def lower(text: str) -> str:
    """Letters of ASCII in lower case."""
    return "".join(letter.lower() if letter.isascii() else letter for letter in text)


def is_selected(watch: Watch, selected: TaskSelection) -> bool:
    searched = (watch.key.task_id, watch.batch or "", watch.error_message or "")
    pattern = None if selected.task_type is None else selected.task_type.replace("[", "[[]")
    return all(
        (
            not selected.statuses or watch.status in selected.statuses,
            not selected.running or watch.state is WatchState.ACTIVE,
            not selected.done or watch.state is WatchState.DONE,
            not selected.lost or watch.lost_at is not None,
            not selected.stalled or watch.stalled_at is not None,
            selected.search is None
            or any(lower(selected.search) in lower(text) for text in searched),
            pattern is None
            or (
                (watch.task_type is not None)
                and fnmatchcase(lower(watch.task_type), lower(pattern))
            ),
            selected.batch in (None, watch.batch),
            selected.source in (None, watch.key.source),
            selected.namespace in (None, watch.namespace),
            all(watch.labels.get(name) == value for name, value in selected.labels.items()),
            selected.changed_since is None
            or (watch.changed_at is not None and watch.changed_at >= selected.changed_since),
        )
    )


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    stored=st.lists(watches, max_size=12),
    several=st.lists(selections, min_size=4, max_size=4),
    limit=st.integers(1, 5),
)
def test_the_pages_of_a_list_hold_each_selected_task_once(
    stored: Sequence[Mapping[str, object]],
    several: Sequence[TaskSelection],
    limit: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    run(compare, stored, several, limit, tmp_path_factory.mktemp("store"))


async def compare(
    stored: Sequence[Mapping[str, object]],
    several: Sequence[TaskSelection],
    limit: int,
    folder: Path,
) -> None:
    async with sqlite.create(f"sqlite:///{folder}/watcher.db") as store:
        names = [f"a_B{number}" for number in range(len(stored))]
        added = await store.add([request(name) for name in names], NOW)
        kept = [
            replace(watch, sequence=1, **fields)  # type: ignore[arg-type]
            for watch, fields in zip(added.watches, stored, strict=True)
        ]
        await store.record([Change(watch=watch, expected_sequence=0) for watch in kept])
        with closing(sqlite3.connect(folder / "watcher.db")) as connection:
            for watch in kept:  # labels and namespaces are written when a watch is added
                connection.execute(
                    "UPDATE watches SET labels = ?, namespace = ? WHERE task_id = ?",
                    [str(dict(watch.labels)).replace("'", '"'), watch.namespace, watch.key.task_id],
                )
            connection.commit()
        for selected in several:
            wanted = [watch for watch in reversed(kept) if is_selected(watch, selected)]
            page = await store.list_tasks(selected, limit)
            if page.order is TaskOrder.ENDED:
                wanted.sort(key=lambda watch: -(watch.changed_at or 0.0))
            found = [*page.watches]
            while page.next_cursor is not None:
                assert page.complete
                page = await store.list_tasks(selected, limit, page.next_cursor)
                found += page.watches
            assert found == wanted, selected


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
