"""Pages of tasks in the words of PostgreSQL."""

from collections.abc import Mapping, Sequence

from watcher.stores._rows import WATCH_COLUMNS, listed
from watcher.stores._task_lists import Condition, Dialect, folded
from watcher.stores.postgresql import rows

_WATCH = listed(WATCH_COLUMNS)
WITH_ID = f"SELECT {_WATCH} FROM watches WHERE task_id = ? ORDER BY source"
IS_BATCH = "SELECT 1 FROM watches WHERE batch = ? LIMIT 1"
# The operators of its index, which is in the order of bytes whatever the database's collation is.
BY_BEGINNING = f"""
SELECT {_WATCH} FROM watches WHERE task_id ~>=~ ? AND task_id ~<~ ?
ORDER BY task_id USING ~<~ LIMIT ?
"""


def _hint(_: str | None) -> str:
    """PostgreSQL chooses by itself."""
    return ""


def _has_labels(labels: Mapping[str, str]) -> Sequence[Condition]:
    return [Condition("labels @> ?::jsonb", (rows.as_json(labels),))] if labels else []


def _folded(column: str) -> str:
    """Return a column with the letters of ASCII in lower case, and no others."""
    return f'lower({column} COLLATE "C")'


def _contains(column: str, text: str) -> Condition:
    return Condition(f"strpos({_folded(column)}, ?) > 0", (folded(text),))


def _matches(column: str, pattern: str) -> Condition:
    for special in ("\\", "%", "_"):
        pattern = pattern.replace(special, f"\\{special}")
    pattern = folded(pattern).replace("*", "%").replace("?", "_")
    return Condition(rf"{_folded(column)} LIKE ? ESCAPE '\'", (pattern,))


DIALECT = Dialect(
    hint=_hint,
    has_labels=_has_labels,
    contains=_contains,
    matches=_matches,
    with_id=WITH_ID,
    is_batch=IS_BATCH,
    by_beginning=BY_BEGINNING,
    alike=None,
    watch=rows.watch,
)
