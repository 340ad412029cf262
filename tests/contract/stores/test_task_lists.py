"""Lists of tasks, compared with a plain model, for every store."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from anyio import run
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.stores.harness import new_store, opened
from watcher.configuration import plugins
from watcher.core.events import Change
from watcher.core.interfaces.store import Store
from watcher.core.reading import TaskOrder, TaskSelection
from watcher.core.tasks import TERMINAL_STATUSES, TaskKey, Watch, WatchRequest, WatchState

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


@pytest.fixture
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as running:
        yield running


@pytest.fixture(params=plugins.names("stores"))
def shared_store(
    portal: BlockingPortal, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Store]:
    """One store for all examples, since opening one costs more than an example."""
    url = run(new_store, request.param, tmp_path, request)
    with portal.wrap_async_context_manager(opened(url)) as store:
        yield store


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
    portal: BlockingPortal,
    shared_store: Store,
) -> None:
    portal.call(compare, shared_store, stored, several, limit)


async def compare(
    store: Store,
    stored: Sequence[Mapping[str, object]],
    several: Sequence[TaskSelection],
    limit: int,
) -> None:
    added = await store.add(
        [
            WatchRequest(
                key=TaskKey("mixpeek", f"a_B{number}"),
                labels=fields["labels"],  # type: ignore[arg-type]
                namespace=fields["namespace"],  # type: ignore[arg-type]
            )
            for number, fields in enumerate(stored)
        ],
        NOW,
    )
    kept = [
        replace(watch, sequence=1, **fields)  # type: ignore[arg-type]
        for watch, fields in zip(added.watches, stored, strict=True)
    ]
    await store.record([Change(watch=watch, expected_sequence=0) for watch in kept])
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
    for watch in kept:
        await store.remove(watch.key)
