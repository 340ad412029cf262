"""Pages of tasks in the words of SQLite."""

from collections.abc import Mapping, Sequence

from watcher.stores._task_lists import Condition, Dialect
from watcher.stores.sqlite import queries, rows

BY_BEGINNING = f"""
SELECT {queries.WATCH} FROM watches WHERE task_id >= ?1 AND task_id < ?2 ORDER BY task_id LIMIT ?3
"""
IS_BATCH = "SELECT 1 FROM watches WHERE batch = ? LIMIT 1"


def _hint(index: str | None) -> str:
    return "NOT INDEXED" if index is None else f"INDEXED BY {index}"


def has_labels(labels: Mapping[str, str]) -> Sequence[Condition]:
    """Return the conditions for a watch that has all of these labels."""
    return [
        Condition(queries.HAS_LABEL, (rows.as_json({name: value})[1:-1], name, value))
        for name, value in labels.items()
    ]


def _contains(column: str, text: str) -> Condition:
    return _like(column, f"%{_escaped(text)}%")


def _matches(column: str, pattern: str) -> Condition:
    return _like(column, _escaped(pattern).replace("*", "%").replace("?", "_"))


def _like(column: str, pattern: str) -> Condition:
    """LIKE disregards the case of ASCII letters, and of no others."""
    return Condition(rf"{column} LIKE ? ESCAPE '\'", (pattern,))


def _escaped(text: str) -> str:
    for special in ("\\", "%", "_"):
        text = text.replace(special, f"\\{special}")
    return text


DIALECT = Dialect(
    hint=_hint,
    has_labels=has_labels,
    contains=_contains,
    matches=_matches,
    with_id=queries.WATCHES_BY_TASK_ID,
    is_batch=IS_BATCH,
    by_beginning=BY_BEGINNING,
    alike="watches_failed",
    watch=rows.watch,
)
