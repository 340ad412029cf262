"""Records to rows of PostgreSQL and back; see `watcher.stores._rows` for the columns.

PostgreSQL stores no U+0000 in a text: it is replaced.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from operator import attrgetter

import msgspec

from watcher.core.deliveries import AttemptResult
from watcher.core.events import Event, EventFilter
from watcher.core.ownership import slot
from watcher.core.tasks import TaskKey, Watch, WatchRequest, WatchState
from watcher.stores import _rows
from watcher.stores._rows import Row, listed

_decode_labels: Callable[[str], dict[str, str]] = msgspec.json.Decoder(dict[str, str]).decode
_encode = msgspec.json.Encoder().encode
_LABELS = _rows.WATCH_COLUMNS.index("labels")
_CHANNELS = _rows.EVENT_COLUMNS.index("channels")

WATCH_COLUMNS = (*_rows.WATCH_COLUMNS, "slot")
CHANGED_COLUMNS = (*_rows.CHANGED_COLUMNS, *_rows.KEY_COLUMNS, "new_batch")
MERGED_COLUMNS = (*_rows.KEY_COLUMNS, "namespace", "labels", "state")
EVENT_COLUMNS = (*_rows.EVENT_COLUMNS, "slot")
_RESULT_COLUMNS = _rows.names_of(AttemptResult)
SETTLED_COLUMNS = (*_RESULT_COLUMNS, "now")
KEY = f"({listed(_rows.KEY_COLUMNS)})"
IS_WANTED = "watches.source = wanted.source AND watches.task_id = wanted.task_id"
_TYPES = {
    **dict.fromkeys(
        (
            *("added_at", "first_seen_at", "changed_at", "missing_since", "lost_at"),
            *("stalled_at", "at", "watched_for", "attempted_at", "next_attempt_at"),
            *("not_before", "unblocks_at", "duration", "now"),
        ),
        "double precision",
    ),
    "sequence": "bigint",
    "delivery_id": "bigint",
    "scheduled": "integer",
    "last_status": "integer",
    "slot": "smallint",
    "body": "bytea",
    "labels": "jsonb",
}
"""The types of columns that are not text. Arrays have one dimension: `channels` is one text."""

_result_values: Callable[[AttemptResult], Row] = attrgetter(*_RESULT_COLUMNS)


def clean_text(text: str) -> str:
    """Return a text as PostgreSQL stores it."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def clean(value: object) -> object:
    """Return a parameter that PostgreSQL accepts."""
    return clean_text(value) if type(value) is str and "\0" in value else value


def cleaned(values: Iterable[object]) -> Row:
    """Return the values of a row as PostgreSQL accepts them."""
    return [clean(value) for value in values]


def as_json(value: object) -> str:
    """Return `value` as JSON text, for a `jsonb` parameter."""
    return _encode(value).decode().replace("\\u0000", "\N{REPLACEMENT CHARACTER}")


def unnested(columns: Sequence[str], *, with_place: bool = False) -> str:
    """Return the expression for the rows `wanted` of as many parameters, each the array of a
    column; with their place, from 1, as another column.
    """
    parameters = listed(
        f"${number}::{_TYPES.get(column, 'text')}[]" for number, column in enumerate(columns, 1)
    )
    if with_place:
        return f"unnest({parameters}) WITH ORDINALITY AS wanted ({listed(columns)}, place)"
    return f"unnest({parameters}) AS wanted ({listed(columns)})"


def arrays(table: Iterable[Row]) -> list[Row]:
    """Return rows, at least one, as the parameters of `unnested`."""
    return list(zip(*table, strict=True))


def replacing(table: str, columns: Sequence[str], key: int = 1) -> str:
    """Return the statement that inserts a row, or replaces the one with the same values in the
    first `key` columns.
    """
    values = listed(f"${number}" for number in range(1, len(columns) + 1))
    others = listed(f"{column} = excluded.{column}" for column in columns[key:])
    return (
        f"INSERT INTO {table} ({listed(columns)}) VALUES ({values})"
        f" ON CONFLICT ({listed(columns[:key])}) DO UPDATE SET {others}"
    )


def array_text(values: Iterable[str]) -> str:
    """Return the text of an array, since a parameter holds arrays of one length only."""
    quoted = (re.sub(r'(["\\])', r"\\\1", clean_text(value)) for value in values)
    return "{" + ",".join(f'"{value}"' for value in quoted) + "}"


def clean_key(key: TaskKey) -> TaskKey:
    """Return a task's key as it is stored."""
    return TaskKey(key.source, clean_text(key.task_id))


def clean_request(request: WatchRequest) -> WatchRequest:
    """Return a request as its watch is stored."""
    return replace(
        request,
        key=clean_key(request.key),
        namespace=None if request.namespace is None else clean_text(request.namespace),
        labels={clean_text(name): clean_text(value) for name, value in request.labels.items()},
    )


def key_arrays(keys: Iterable[TaskKey]) -> tuple[list[str], list[str]]:
    """Return task keys as two parameters for `unnest`: sources and task IDs."""
    stored = [clean_key(key) for key in keys]
    return [key.source for key in stored], [key.task_id for key in stored]


def watch(row: Row) -> Watch:
    source, task_id, *values = row
    stored = dict(zip(_rows.WATCH_FIELDS, values, strict=True))
    labels = stored["labels"]
    stored["labels"] = _decode_labels(labels) if labels != "{}" else {}
    stored["state"] = WatchState(stored["state"])
    return Watch(key=TaskKey(source, task_id), **stored)


def watch_row(watch: Watch) -> Row:
    """Return the values of `WATCH_COLUMNS`."""
    row = cleaned([*watch.key, *_rows.watch_values(watch)])
    row[_LABELS] = as_json(watch.labels)
    return [*row, slot(watch.key.task_id)]


def changed_row(watch: Watch, batch: str | None) -> Row:
    """Return the values of `CHANGED_COLUMNS`. `batch` is the new one, if it has changed."""
    return cleaned((*_rows.changed_values(watch), *watch.key, batch))


def event_row(event: Event) -> Row:
    """Return the values of `EVENT_COLUMNS`."""
    row = cleaned([*(event.key or (None, None)), *_rows.event_values(event)])
    row[_CHANNELS] = array_text(event.channels)
    return [*row, slot(event.order_key)]


def settled_row(result: AttemptResult, now: float) -> Row:
    """Return the values of `SETTLED_COLUMNS`."""
    return [*cleaned(_result_values(result)), now]


def selection_parameters(channel: str, selected: EventFilter, now: float) -> Row:
    """Return the first parameters of a query with `outbox_queries.SELECTED`."""
    until = now if selected.until is None else selected.until
    statuses, task_ids = (
        cleaned(names) if names else None for names in (selected.statuses, selected.task_ids)
    )
    return (clean(channel), now, selected.since, until, statuses, task_ids)
