"""Chunks: each task that can be requested is in exactly one, of its status."""

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from watcher.polling.last_seen import Chunk, LastSeenTasks

STATUSES = ("PENDING", "QUEUED", "IN_PROGRESS")


@dataclass(eq=False, slots=True)
class Task:
    task_id: str
    status: str | None = None
    steady: bool = True
    chunk: int = 0


def join(task_ids: object) -> bytes:
    assert isinstance(task_ids, list)
    return ",".join(task_ids).encode()


def tasks_of(seen: LastSeenTasks[Task], chunk: Chunk[Task]) -> list[Task]:
    ids = seen.ids(chunk, join).decode().split(",")
    assert [task.task_id for task in seen.members(chunk)] == ids
    return list(seen.members(chunk))


class World:
    """Chunks of twenty tasks, requests about them, and the tasks that belong into chunks."""

    def __init__(self) -> None:
        self.now = 0.0
        self.seen: LastSeenTasks[Task] = LastSeenTasks(lambda: self.now)
        self.seen.size = 5
        self.tasks = [Task(f"task_{number}") for number in range(20)]
        self.placed: set[str] = set()
        self.flying: list[Chunk[Task]] = []

    def place(self, number: int, status: str) -> None:
        task = self.tasks[number]
        task.status, task.steady = status, True
        self.seen.place(task)
        self.placed.add(task.task_id)

    def unsteady(self, number: int, status: str) -> None:
        task = self.tasks[number]
        task.status, task.steady = status, False
        self.seen.place(task)
        self.placed.discard(task.task_id)

    def leave(self, number: int, status: str) -> None:
        self.seen.leave(self.tasks[number])
        self.placed.discard(self.tasks[number].task_id)

    def size(self, number: int, status: str) -> None:
        self.seen.size = number + 1
        self.seen.fit()

    def request(self, number: int, status: str) -> None:
        for chunk in self.seen.due(self.now)[:1]:
            self.seen.requested(chunk)
            self.flying.append(chunk)

    def answer(self, number: int, status: str) -> None:
        if self.flying:
            self.seen.swept(self.flying.pop(), self.now)

    def fail(self, number: int, status: str) -> None:
        if self.flying:
            self.seen.failed(self.flying.pop())

    def uncover(self, number: int, status: str) -> None:
        self.seen.uncover()

    def top_up(self, number: int, status: str) -> None:
        for chunk in self.seen.due(self.now)[:1]:
            self.seen.top_up(chunk)


ACTIONS = [
    World.place,
    World.unsteady,
    World.leave,
    World.size,
    World.request,
    World.answer,
    World.fail,
    World.uncover,
    World.top_up,
]
OPERATIONS = st.tuples(
    st.sampled_from([World.place, *ACTIONS]), st.integers(0, 19), st.sampled_from(STATUSES)
)


@given(st.lists(OPERATIONS, max_size=80))
def test_each_task_is_in_one_chunk_of_its_status(
    operations: list[tuple[Callable[[World, int, str], None], int, str]],
) -> None:
    world = World()
    seen = world.seen
    for action, number, status in operations:
        world.now += 1.0
        action(world, number, status)
        chunks = seen.chunks()
        found = [one for chunk in chunks if chunk.count for one in tasks_of(seen, chunk)]
        assert sorted(one.task_id for one in found) == sorted(world.placed)
        assert seen.count == len(world.placed) == sum(chunk.count for chunk in chunks)
        assert all(one.status == chunk.status for chunk in chunks for one in seen.members(chunk))
        assert seen.covered == (bool(chunks) and all(chunk.covered for chunk in chunks))


def test_a_task_that_left_while_its_chunk_was_requested_is_known() -> None:
    seen: LastSeenTasks[Task] = LastSeenTasks(lambda: 0.0)
    seen.size = 5
    task = Task("task_1", "PENDING")
    seen.place(task)
    (chunk,) = seen.due(0.0)
    seen.requested(chunk)
    task.status = "QUEUED"
    seen.place(task)
    assert chunk.left == {"task_1"}
    assert not seen.swept(chunk, 1.0)
    assert [one.status for one in seen.chunks()] == ["QUEUED"]
