"""What another replica has stored is followed: tasks, channels, and that there are events."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from tests.support.virtual_time import VirtualLoop
from watcher.core.errors import StoreError
from watcher.core.ownership import Signal, Signals
from watcher.core.tasks import TaskKey, Watch, WatchState
from watcher.core.wakeup import Wakeup
from watcher.daemon.following import LOOK_INTERVAL, Follower

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


class Place:
    """A store with signals, one served source, and one served channel."""

    def __init__(self) -> None:
        self.answers: list[Signals | StoreError] = []
        self.watches_by_id: dict[str, Watch] = {}
        self.looked_after: list[int | None] = []
        self.tracked: list[str] = []
        self.forgotten: list[str] = []
        self.followed: list[bool] = []
        self.hint: Callable[[], None] = lambda: None
        self.moved = Wakeup()
        self.outbox = Wakeup()
        source = SimpleNamespace(track=self._track, poller=SimpleNamespace(forget=self._forget))
        channel = SimpleNamespace(dispatcher=SimpleNamespace(follow=self._follow))
        units: Any = SimpleNamespace(sources={"mixpeek": source}, channels={"backend": channel})
        store: Any = self
        self.follower = Follower(store, units, self.outbox)

    async def signals(self, after: int | None) -> Signals:
        self.looked_after.append(after)
        answer = self.answers.pop(0) if self.answers else Signals(last=after or 0, last_event=0)
        if isinstance(answer, StoreError):
            raise answer
        return answer

    async def watches(self, keys: Sequence[TaskKey]) -> Mapping[TaskKey, Watch]:
        found = self.watches_by_id
        return {key: found[key.task_id] for key in keys if key.task_id in found}

    async def follow(self, hint: Callable[[], None], moved: Callable[[], None]) -> None:
        self.hint = hint
        moved()

    def _track(self, watches: Iterable[Watch]) -> None:
        self.tracked += [watch.key.task_id for watch in watches]

    def _forget(self, key: TaskKey) -> None:
        self.forgotten.append(key.task_id)

    async def _follow(self, *, attempt: bool) -> None:
        self.followed.append(attempt)

    def stored(self, task_id: str, state: WatchState) -> None:
        key = TaskKey("mixpeek", task_id)
        self.watches_by_id[task_id] = Watch(key=key, added_at=0.0, state=state)

    async def run_for(self, seconds: float) -> None:
        with anyio.move_on_after(seconds):
            await self.follower.run()


async def test_tasks_are_polled_or_forgotten_as_the_store_has_them() -> None:
    place = Place()
    place.stored("added", WatchState.ACTIVE)
    place.stored("done", WatchState.DONE)
    place.answers = [
        Signals(
            last=7,
            last_event=0,
            signals=(
                Signal(group="source mixpeek", task_ids=("added", "removed")),
                Signal(group="source mixpeek", task_ids=("done", "added")),
                Signal(group="source other", task_ids=("x",)),
            ),
        )
    ]
    await place.run_for(0.1)
    assert place.tracked == ["added", "done"], "the poller leaves out what is done"
    assert sorted(place.forgotten) == ["done", "removed"]
    assert place.looked_after == [None]


async def test_a_served_channel_reads_again_what_was_stored_about_it() -> None:
    place = Place()
    read, attempt = Signal(group="channel backend"), Signal(group="channel backend", attempt=True)
    place.answers = [
        Signals(last=1, last_event=0, signals=(read, read, Signal(group="channel b", attempt=True)))
    ]
    await place.run_for(0.1)
    assert place.followed == [False]
    place.answers = [Signals(last=2, last_event=0, signals=(read, attempt, read))]
    await place.run_for(0.1)
    assert place.followed == [False, True]


async def test_events_of_others_wake_the_dispatchers_once() -> None:
    place = Place()
    place.answers = [Signals(last=0, last_event=5), Signals(last=0, last_event=5)]
    before = place.outbox.generation
    await place.run_for(1.5 * LOOK_INTERVAL)
    assert place.outbox.generation == before + 1


async def test_a_look_follows_every_second_a_hint_and_a_failure() -> None:
    place = Place()
    place.answers = [
        Signals(last=3, last_event=0),
        StoreError("away"),
        Signals(last=4, last_event=0),
    ]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(place.follower.run)
        tasks.start_soon(place.follower.listen, place.moved.set)
        await anyio.sleep(2.5 * LOOK_INTERVAL)
        assert place.looked_after == [None, 3, 3]
        place.hint()
        await anyio.sleep(0.01)
        assert place.looked_after == [None, 3, 3, 4]
        assert place.moved.generation == 1
        tasks.cancel_scope.cancel()


async def test_it_begins_where_the_signals_are_before_watches_are_read() -> None:
    place = Place()
    place.answers = [StoreError("away"), Signals(last=8, last_event=0)]
    await place.follower.begin()
    assert place.looked_after == [None, None]
    await place.run_for(0.1)
    assert place.looked_after == [None, None, 8]
