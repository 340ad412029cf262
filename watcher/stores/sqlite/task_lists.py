"""Pages of tasks: each is a seek in an index, or a scan that ends after a while.

The statements are put together here from the conditions that are set. A statement names its index,
so that no list ever depends on what the planner finds best, and states the condition of a partial
one as it is.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from watcher.core.reading import ExactMatch, TaskOrder, TaskPage, TaskSelection
from watcher.core.tasks import TERMINAL_STATUSES
from watcher.stores.sqlite import queries, rows
from watcher.stores.sqlite.page_reader import PageReader

SEARCH_TIME = 0.2
"""Seconds after which a search returns what it has found."""
SCANNED = 5000
"""Rows that are read at once: a few milliseconds."""
BEGINNING = 20
"""Watches that are shown for the beginning of an ID."""

_BEYOND_ALL = 2**63 - 1
_LATEST = 1e300

BY_BEGINNING = f"""
SELECT {queries.WATCH} FROM watches WHERE task_id >= ?1 AND task_id < ?2 ORDER BY task_id LIMIT ?3
"""
IS_BATCH = "SELECT 1 FROM watches WHERE batch = ? LIMIT 1"


class Place(NamedTuple):
    """A place in a list: rows after it have a smaller one. `at` is 0 in the order of addition."""

    at: float
    id: int

    def text(self, order: TaskOrder) -> str:
        """Return the place as a cursor."""
        return str(self.id) if order is TaskOrder.ADDED else f"{self.at!r}_{self.id}"


def place(text: str | None, order: TaskOrder) -> Place:
    """Return the place that a cursor names; without one, before all rows. Raises `ValueError`."""
    if text is None:
        return Place(_LATEST, _BEYOND_ALL)
    at, _, number = text.rpartition("_")
    is_number = number.isascii() and number.isdigit() and len(number) <= 18
    if is_number and "_" not in at and (order is TaskOrder.ADDED) == (at == ""):
        try:
            found = Place(float(at or 0), int(number))
        except ValueError:
            found = Place(math.nan, 0)
        if math.isfinite(found.at):
            return found
    raise ValueError("invalid cursor: pass the next_cursor of the previous page")


class Condition(NamedTuple):
    """A part of a statement, and its parameters."""

    sql: str
    parameters: tuple[object, ...] = ()


class _Path(NamedTuple):
    """How rows are reached: by an index, with the condition that it needs."""

    hint: str
    condition: Condition
    order: TaskOrder = TaskOrder.ADDED


_WHOLE_TABLE = _Path("NOT INDEXED", Condition("true"))
_LOST = _Path("INDEXED BY watches_lost", Condition("lost_at IS NOT NULL"))
_STALLED = _Path(
    "INDEXED BY watches_stalled", Condition("state = 'active' AND stalled_at IS NOT NULL")
)
_RUNNING = _Path("INDEXED BY watches_active", Condition("state = 'active'"))


def _path(selected: TaskSelection) -> _Path:
    if selected.batch is not None:
        return _Path("INDEXED BY watches_batch", Condition("batch = ?", (selected.batch,)))
    if selected.lost or selected.stalled:
        return _LOST if selected.lost else _STALLED
    statuses = TERMINAL_STATUSES.intersection(selected.statuses)
    if selected.running or (selected.statuses and not statuses):
        return _RUNNING
    is_ended = statuses and len(statuses) == len(set(selected.statuses))
    if is_ended and selected.search is None and selected.order is not TaskOrder.ADDED:
        return _ended(selected)
    return _WHOLE_TABLE


def _ended(selected: TaskSelection) -> _Path:
    """Return the path to what has ended with one of the statuses, the last first."""
    statuses = _has_status(selected.statuses)
    if "COMPLETED" in selected.statuses:
        hint, state = "INDEXED BY watches_done", "state = 'done'"
    else:
        hint, state = "INDEXED BY watches_ended", "state = 'done' AND status <> 'COMPLETED'"
    return _Path(
        hint, Condition(f"{state} AND {statuses.sql}", statuses.parameters), TaskOrder.ENDED
    )


def _has_status(statuses: Sequence[str]) -> Condition:
    return Condition(f"status IN ({', '.join('?' * len(statuses))})", tuple(statuses))


def _further(selected: TaskSelection, path: _Path) -> Iterator[Condition]:
    """Yield the conditions that each row on the path is examined for."""
    yield from _of_state(selected, path)
    for column in ("source", "namespace"):
        if (value := getattr(selected, column)) is not None:
            yield Condition(f"{column} = ?", (value,))
    if selected.changed_since is not None:
        yield Condition("changed_at >= ?", (selected.changed_since,))
    yield from conditions_of_text(selected.search, selected.task_type)
    for name, value in selected.labels.items():
        yield Condition(queries.HAS_LABEL, (name, value))


def _of_state(selected: TaskSelection, path: _Path) -> Iterator[Condition]:
    for is_set, other in (
        (selected.lost, _LOST),
        (selected.stalled, _STALLED),
        (selected.running, _RUNNING),
    ):
        if is_set and path is not other:
            yield other.condition
    if path.order is TaskOrder.ADDED:  # else the path has only those
        if selected.done:
            yield Condition("state = 'done'")
        if selected.statuses:
            yield _has_status(selected.statuses)


def conditions_of_text(search: str | None, task_type: str | None) -> Iterator[Condition]:
    """Yield the conditions of a search and of a pattern of task types."""
    if search is not None:
        texts = ("task_id", "coalesce(batch, '')", "coalesce(error_message, '')")
        sql = " OR ".join(rf"{text} LIKE ? ESCAPE '\'" for text in texts)
        yield Condition(f"({sql})", (_containing(search),) * len(texts))
    if task_type is not None:
        pattern = "".join(one.lower() if one.isascii() else one for one in task_type)
        yield Condition("lower(task_type) GLOB ?", (pattern.replace("[", "[[]"),))


def _containing(text: str) -> str:
    for special in ("\\", "%", "_"):
        text = text.replace(special, f"\\{special}")
    return f"%{text}%"


class TaskList:
    """One list of tasks, read page by page."""

    def __init__(self, selected: TaskSelection) -> None:
        self._path = _path(selected)
        self._further = tuple(_further(selected, self._path))
        self.order = self._path.order

    @property
    def is_sought(self) -> bool:
        """Whether an index alone leads to the rows."""
        return not self._further

    def between(self, after: Place, until: Place | None = None) -> Condition:
        """Return the condition for the rows after one place, up to and with another."""
        if self.order is TaskOrder.ADDED:
            bounds = [Condition("id < ?", (after.id,))]
            if until is not None:
                bounds.append(Condition("id >= ?", (until.id,)))
        else:
            bounds = [Condition("(changed_at, id) < (?, ?)", tuple(after))]
            if until is not None:
                bounds.append(Condition("(changed_at, id) >= (?, ?)", tuple(until)))
        return _all([self._path.condition, *bounds])

    def statement(self, columns: str, where: Condition, *, further: bool = True) -> Condition:
        """Return the statement of the rows that match; its last parameters are a limit and how many
        rows to leave out.
        """
        wanted = _all([where, *(self._further if further else ())])
        place = "0.0" if self.order is TaskOrder.ADDED else "changed_at"
        order = "id DESC" if self.order is TaskOrder.ADDED else "changed_at DESC, id DESC"
        return Condition(
            f"SELECT {place}, id{columns} FROM watches {self._path.hint}"
            f" WHERE {wanted.sql} ORDER BY {order} LIMIT ? OFFSET ?",
            wanted.parameters,
        )


def _all(conditions: Sequence[Condition]) -> Condition:
    return Condition(
        " AND ".join(one.sql for one in conditions),
        tuple(parameter for one in conditions for parameter in one.parameters),
    )


class TaskListReader:
    """Reads lists of tasks; `monotonic` counts seconds."""

    def __init__(self, reader: PageReader, monotonic: Callable[[], float]) -> None:
        self._reader = reader
        self._monotonic = monotonic

    async def page(self, selected: TaskSelection, limit: int, cursor: str | None) -> TaskPage:
        """Return a page of the selected tasks."""
        tasks = TaskList(selected)
        after = place(cursor, tasks.order)
        found, stopped_at = await self._rows(tasks, after, limit + 1)
        shown = found[:limit]
        following = Place(*shown[-1][:2]) if len(found) > limit else stopped_at
        return TaskPage(
            watches=[rows.watch(row[2:]) for row in shown],
            order=tasks.order,
            top=Place(*shown[0][:2]).text(tasks.order) if shown else None,
            next_cursor=None if following is None else following.text(tasks.order),
            complete=len(found) > limit or stopped_at is None,
        )

    async def _rows(
        self, tasks: TaskList, after: Place, wanted: int
    ) -> tuple[list[rows.Row], Place | None]:
        """Return rows, and where the scan stopped because its time was over; else None."""
        columns = f", {queries.WATCH}"
        if tasks.is_sought:
            return await self._read(tasks.statement(columns, tasks.between(after)), wanted), None
        ends_at = self._monotonic() + SEARCH_TIME
        found: list[rows.Row] = []
        while len(found) < wanted:
            if self._monotonic() >= ends_at:
                return found, after
            until = await self._step(tasks, after)
            where = tasks.between(after, until)
            found += await self._read(tasks.statement(columns, where), wanted - len(found))
            if until is None:
                return found, None
            after = until
        return found, None

    async def _step(self, tasks: TaskList, after: Place) -> Place | None:
        """Return the place of the last row of a step; None if fewer rows are left."""
        statement = tasks.statement("", tasks.between(after), further=False)
        last = await self._read(statement, 1, SCANNED - 1)
        return Place(*last[0]) if last else None

    async def count_before(self, selected: TaskSelection, top: str, most: int) -> int:
        """Return how many rows come before a place, at most `most`."""
        tasks = TaskList(selected)
        if not tasks.is_sought:
            return 0
        first = place(None, tasks.order)
        here = place(top, tasks.order)
        where = tasks.between(first, Place(here.at, here.id + 1))
        return len(await self._read(tasks.statement("", where), most))

    async def named(self, text: str) -> ExactMatch:
        """Return what a text names."""
        exact = await self._reader.read(queries.WATCHES_BY_TASK_ID, text)
        batch = await self._reader.read(IS_BATCH, text)
        beginning = await self._reader.read(BY_BEGINNING, text, f"{text}\U0010ffff", BEGINNING)
        return ExactMatch(
            watches=[rows.watch(row) for row in exact],
            is_batch=bool(batch),
            beginning=[rows.watch(row) for row in beginning],
        )

    async def _read(self, statement: Condition, limit: int, left_out: int = 0) -> list[rows.Row]:
        return await self._reader.read(statement.sql, *statement.parameters, limit, left_out)
