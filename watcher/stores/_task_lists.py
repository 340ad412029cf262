"""Pages of tasks: each is a seek in an index, or a scan that ends after a while.

The statements are put together here from the conditions that are set. A statement names its index,
where the database lets it, so that no list depends on what the planner finds best, and states the
condition of a partial one as it is.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from watcher.core.reading import ExactMatch, TaskOrder, TaskPage, TaskSelection
from watcher.core.summary import ALIKE
from watcher.core.tasks import TERMINAL_STATUSES, Watch
from watcher.stores._rows import WATCH_COLUMNS, Row

SEARCH_TIME = 0.2
"""Seconds after which a search for a text, an error or a label returns what it has found."""
FILTER_TIME = 0.04
"""Seconds after which any other scan does."""
SCANNED = 5000
"""Rows that are read at once: a millisecond or a few."""
_MOST_SCANNED = 40_000
_QUICK = 0.004
"""Seconds of a step after which the next one reads twice as many rows."""
BEGINNING = 20
"""Watches that are shown for the beginning of an ID."""

FAILED = frozenset({"FAILED", "COMPLETED_WITH_ERRORS"})
FAILED_STATE = "state = 'done' AND status IN ('FAILED', 'COMPLETED_WITH_ERRORS')"
ERROR_START = f"substr(coalesce(error_message, ''), 1, {ALIKE})"
"""The condition and the expression of the index of tasks that failed, as they stand in it."""

_BEYOND_ALL = 2**63 - 1
_LATEST = 1e300
_WATCH = ", ".join(WATCH_COLUMNS)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How a database words what it words in a way of its own. A parameter is `?` in each.

    `hint` returns what names an index, or with None the table itself; `watch` reads a row of
    `_rows.WATCH_COLUMNS`, which the statements return.
    """

    hint: Callable[[str | None], str]
    has_labels: Callable[[Mapping[str, str]], Sequence[Condition]]
    contains: Callable[[str, str], Condition]
    """The condition that a column contains a text, whatever the case of ASCII letters."""
    matches: Callable[[str, str], Condition]
    """The condition that a column matches a pattern of `*` and `?`, as `contains` does."""
    with_id: str
    """The statement of the watches with an ID."""
    is_batch: str
    """The statement of a row if there is a batch of this name."""
    by_beginning: str
    """The statement of watches whose IDs are between two texts, as many as a number."""
    alike: str | None
    """The index of tasks that failed, by the beginning of their errors; None without one."""
    watch: Callable[[Row], Watch]


class Reader(Protocol):
    """Reads for pages."""

    async def read(self, query: str, *parameters: object) -> Sequence[Row]:
        """Return all rows. Raises `StoreError`."""
        ...


class _Path(NamedTuple):
    """How rows are reached: by an index, with the condition that it needs."""

    index_name: str | None
    condition: Condition
    order: TaskOrder = TaskOrder.ADDED
    in_index: Condition | None = None
    """The part of the condition for which the index needs no row, if it is not all of it."""


_WHOLE_TABLE = _Path(None, Condition("true"))
_LOST = _Path("watches_lost", Condition("lost_at IS NOT NULL"))
_STALLED = _Path("watches_stalled", Condition("state = 'active' AND stalled_at IS NOT NULL"))
_RUNNING = _Path("watches_active", Condition("state = 'active'"))


def _path(selected: TaskSelection, dialect: Dialect) -> _Path:
    if selected.batch is not None:
        return _Path("watches_batch", Condition("batch = ?", (selected.batch,)))
    if selected.lost or selected.stalled:
        return _LOST if selected.lost else _STALLED
    statuses = TERMINAL_STATUSES.intersection(selected.statuses)
    if selected.running or (selected.statuses and not statuses):
        return _RUNNING
    is_ended = statuses and len(statuses) == len(set(selected.statuses))
    if is_ended and selected.search is None and selected.order is not TaskOrder.ADDED:
        has_failed = len(statuses) == 1 and statuses < FAILED
        if has_failed and selected.error is not None and dialect.alike is not None:
            return _alike(selected, dialect.alike, selected.error)
        return _ended(selected)
    return _WHOLE_TABLE


def _alike(selected: TaskSelection, index_name: str, error: str) -> _Path:
    """Return the path to what has failed alike, the last first."""
    conditions = [Condition(FAILED_STATE), has_status(selected.statuses), _has_error(error)]
    if selected.changed_since is not None:
        conditions.append(_changed_since(selected.changed_since))
    return _Path(index_name, _all(conditions), TaskOrder.ENDED)


def _has_error(error: str) -> Condition:
    return Condition(f"{ERROR_START} = ?", (error[:ALIKE],))


def _ended(selected: TaskSelection) -> _Path:
    """Return the path to what has ended with one of the statuses, the last first."""
    statuses = has_status(selected.statuses)
    if "COMPLETED" in selected.statuses:
        index_name, state = "watches_done", "state = 'done'"
    else:
        index_name, state = "watches_ended", "state = 'done' AND status <> 'COMPLETED'"
    conditions = [Condition(state)]
    if selected.changed_since is not None:
        conditions.append(_changed_since(selected.changed_since))
    in_index = _all(conditions) if index_name == "watches_done" else None
    return _Path(index_name, _all([*conditions, statuses]), TaskOrder.ENDED, in_index)


def _changed_since(time: float) -> Condition:
    return Condition("changed_at >= ?", (time,))


def has_status(statuses: Sequence[str]) -> Condition:
    """Return the condition for one of several statuses."""
    return Condition(f"status IN ({', '.join('?' * len(statuses))})", tuple(statuses))


def _further(selected: TaskSelection, path: _Path, dialect: Dialect) -> Iterator[Condition]:
    """Yield the conditions that each row on the path is examined for."""
    yield from _of_state(selected, path)
    for column in ("source", "namespace"):
        if (value := getattr(selected, column)) is not None:
            yield Condition(f"{column} = ?", (value,))
    if selected.changed_since is not None and path.order is TaskOrder.ADDED:
        yield _changed_since(selected.changed_since)
    if selected.search is not None:
        texts = ("task_id", "coalesce(batch, '')", "coalesce(error_message, '')")
        found = [dialect.contains(text, selected.search) for text in texts]
        either = joined(" OR ", found)
        yield Condition(f"({either.sql})", either.parameters)
    if selected.error is not None and (dialect.alike is None or path.index_name != dialect.alike):
        yield _has_error(selected.error)
    if selected.task_type is not None:
        yield dialect.matches("task_type", selected.task_type)
    yield from dialect.has_labels(selected.labels)


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
            yield has_status(selected.statuses)


def folded(text: str) -> str:
    """Return a text with the letters of ASCII in lower case."""
    return "".join(one.lower() if one.isascii() else one for one in text)


class TaskList:
    """One list of tasks, read page by page."""

    def __init__(self, selected: TaskSelection, dialect: Dialect) -> None:
        self._dialect = dialect
        self._path = _path(selected, dialect)
        self._further = tuple(_further(selected, self._path, dialect))
        self.order = self._path.order
        is_search = selected.labels or (selected.search, selected.error) != (None, None)
        self.time = SEARCH_TIME if is_search else FILTER_TIME
        """Seconds that a scan may take."""

    @property
    def is_whole(self) -> bool:
        """Whether all watches are scanned, in the order of their IDs."""
        return self._path is _WHOLE_TABLE

    @property
    def is_sought(self) -> bool:
        """Whether an index alone leads to the rows."""
        return not self._further

    def after(self, place: Place) -> Condition:
        """Return the condition for the rows after a place, of which some may not be on the list."""
        return self._between(self._path.in_index or self._path.condition, place, None)

    def between(self, after: Place, until: Place | None = None) -> Condition:
        """Return the condition for the rows after one place, up to and with another."""
        return self._between(self._path.condition, after, until)

    def _between(self, condition: Condition, after: Place, until: Place | None) -> Condition:
        if self.order is TaskOrder.ADDED:
            bounds = [Condition("id < ?", (after.id,))]
            if until is not None:
                bounds.append(Condition("id >= ?", (until.id,)))
        else:
            bounds = [Condition("(changed_at, id) < (?, ?)", tuple(after))]
            if until is not None:
                bounds.append(Condition("(changed_at, id) >= (?, ?)", tuple(until)))
        return _all([condition, *bounds])

    def statement(self, columns: str, where: Condition, *, further: bool = True) -> Condition:
        """Return the statement of the rows that match; its last parameters are a limit and how many
        rows to leave out.
        """
        wanted = _all([where, *(self._further if further else ())])
        place = "CAST(0 AS REAL)" if self.order is TaskOrder.ADDED else "changed_at"
        order = "id DESC" if self.order is TaskOrder.ADDED else "changed_at DESC, id DESC"
        return Condition(
            f"SELECT {place}, id{columns} FROM watches {self._dialect.hint(self._path.index_name)}"
            f" WHERE {wanted.sql} ORDER BY {order} LIMIT ? OFFSET ?",
            wanted.parameters,
        )


def _all(conditions: Sequence[Condition]) -> Condition:
    return joined(" AND ", conditions)


def joined(word: str, conditions: Sequence[Condition]) -> Condition:
    """Return several conditions as one."""
    return Condition(
        word.join(one.sql for one in conditions),
        tuple(parameter for one in conditions for parameter in one.parameters),
    )


class TaskListReader:
    """Reads lists of tasks; `monotonic` counts seconds."""

    def __init__(self, reader: Reader, dialect: Dialect, monotonic: Callable[[], float]) -> None:
        self._reader = reader
        self._dialect = dialect
        self._monotonic = monotonic

    async def page(self, selected: TaskSelection, limit: int, cursor: str | None) -> TaskPage:
        """Return a page of the selected tasks."""
        tasks = TaskList(selected, self._dialect)
        after = place(cursor, tasks.order)
        found, stopped_at = await self._rows(tasks, after, limit + 1)
        shown = found[:limit]
        following = Place(*shown[-1][:2]) if len(found) > limit else stopped_at
        return TaskPage(
            watches=[self._dialect.watch(row[2:]) for row in shown],
            order=tasks.order,
            top=Place(*shown[0][:2]).text(tasks.order) if shown else None,
            next_cursor=None if following is None else following.text(tasks.order),
            complete=len(found) > limit or stopped_at is None,
        )

    async def _rows(
        self, tasks: TaskList, after: Place, wanted: int
    ) -> tuple[Sequence[Row], Place | None]:
        """Return rows, and where the scan stopped because its time was over; else None."""
        columns = f", {_WATCH}"
        if tasks.is_sought:
            return await self._read(tasks.statement(columns, tasks.between(after)), wanted), None
        began = self._monotonic()
        ends_at, size = began + tasks.time, SCANNED // 2
        found: list[Row] = []
        while len(found) < wanted:
            now = self._monotonic()
            if now >= ends_at:
                return found, after
            if now - began < _QUICK:
                size = min(2 * size, _MOST_SCANNED)
            began = now
            until = await self._step(tasks, after, size)
            where = tasks.between(after, until)
            found += await self._read(tasks.statement(columns, where), wanted - len(found))
            if until is None:
                return found, None
            after = until
        return found, None

    async def _step(self, tasks: TaskList, after: Place, size: int) -> Place | None:
        """Return the place where a step of at most `size` rows ends; None if none are left then."""
        statement = tasks.statement("", tasks.after(after), further=False)
        if tasks.is_whole:  # counted by ID, because going through the rows is half of the cost
            first = await self._read(statement, 1)
            until = Place(0.0, first[0][1] - size + 1) if first else None
            return until if until is not None and until.id > 1 else None
        last = await self._read(statement, 1, size - 1)
        return Place(*last[0]) if last else None

    async def count_before(self, selected: TaskSelection, top: str, most: int) -> int:
        """Return how many rows come before a place, at most `most`."""
        tasks = TaskList(selected, self._dialect)
        if not tasks.is_sought:
            return 0
        first = place(None, tasks.order)
        here = place(top, tasks.order)
        where = tasks.between(first, Place(here.at, here.id + 1))
        return len(await self._read(tasks.statement("", where), most))

    async def named(self, text: str) -> ExactMatch:
        """Return what a text names."""
        exact = await self._reader.read(self._dialect.with_id, text)
        batch = await self._reader.read(self._dialect.is_batch, text)
        beginning = await self._reader.read(
            self._dialect.by_beginning, text, f"{text}\U0010ffff", BEGINNING
        )
        return ExactMatch(
            watches=[self._dialect.watch(row) for row in exact],
            is_batch=bool(batch),
            beginning=[self._dialect.watch(row) for row in beginning],
        )

    async def _read(self, statement: Condition, limit: int, left_out: int = 0) -> Sequence[Row]:
        return await self._reader.read(statement.sql, *statement.parameters, limit, left_out)
