"""Records to rows of PostgreSQL and back; see `watcher.stores._rows` for the columns.

PostgreSQL stores no U+0000 in a text: it is replaced.
"""

from collections.abc import Callable, Iterable

import msgspec

from watcher.core.events import Event
from watcher.core.ownership import slot
from watcher.core.tasks import TaskKey, Watch, WatchState
from watcher.stores import _rows
from watcher.stores._rows import Row

_decode_labels: Callable[[str], dict[str, str]] = msgspec.json.Decoder(dict[str, str]).decode
_encode = msgspec.json.Encoder().encode
_LABELS = _rows.WATCH_COLUMNS.index("labels")


def clean(value: object) -> object:
    """Return a parameter that PostgreSQL accepts."""
    if type(value) is str and "\0" in value:
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return value


def cleaned(values: Iterable[object]) -> Row:
    """Return the values of a row as PostgreSQL accepts them."""
    return [clean(value) for value in values]


def as_json(value: object) -> str:
    """Return `value` as JSON text, for a `jsonb` parameter."""
    return _encode(value).decode().replace("\\u0000", "\N{REPLACEMENT CHARACTER}")


def key_arrays(keys: Iterable[TaskKey]) -> tuple[list[str], list[str]]:
    """Return task keys as two parameters for `unnest`: sources and task IDs."""
    pairs = [(source, str(clean(task_id))) for source, task_id in keys]
    return [source for source, _ in pairs], [task_id for _, task_id in pairs]


def watch(row: Row) -> Watch:
    source, task_id, *values = row
    stored = dict(zip(_rows.WATCH_FIELDS, values, strict=True))
    labels = stored["labels"]
    stored["labels"] = _decode_labels(labels) if labels != "{}" else {}
    stored["state"] = WatchState(stored["state"])
    return Watch(key=TaskKey(source, task_id), **stored)


def watch_row(watch: Watch) -> Row:
    """Return the values of `WATCH_COLUMNS`, then the slot."""
    row = cleaned([*watch.key, *_rows.watch_values(watch)])
    row[_LABELS] = as_json(watch.labels)
    return [*row, slot(watch.key.task_id)]


def changed_row(watch: Watch) -> Row:
    return cleaned((*_rows.changed_values(watch), *watch.key))


def event_row(event: Event) -> Row:
    """Return the values of `EVENT_COLUMNS`, then the slot."""
    row = cleaned([*(event.key or (None, None)), *_rows.event_values(event)])
    return [*row, slot(event.order_key)]
