"""Pages of tasks in the words of SQLite."""

from collections.abc import Mapping, Sequence

from watcher.stores._task_lists import Condition, Dialect, folded
from watcher.stores.sqlite import queries, rows

BY_BEGINNING = f"""
SELECT {queries.WATCH} FROM watches WHERE task_id >= ?1 AND task_id < ?2 ORDER BY task_id LIMIT ?3
"""
IS_BATCH = "SELECT 1 FROM watches WHERE batch = ? LIMIT 1"


def _hint(index: str | None) -> str:
    return "NOT INDEXED" if index is None else f"INDEXED BY {index}"


def _has_labels(labels: Mapping[str, str]) -> Sequence[Condition]:
    return [Condition(queries.HAS_LABEL, label) for label in labels.items()]


def _contains(column: str, text: str) -> Condition:
    for special in ("\\", "%", "_"):
        text = text.replace(special, f"\\{special}")
    return Condition(rf"{column} LIKE ? ESCAPE '\'", (f"%{text}%",))


def _matches(column: str, pattern: str) -> Condition:
    return Condition(f"lower({column}) GLOB ?", (folded(pattern).replace("[", "[[]"),))


DIALECT = Dialect(
    hint=_hint,
    has_labels=_has_labels,
    contains=_contains,
    matches=_matches,
    with_id=queries.WATCHES_BY_TASK_ID,
    is_batch=IS_BATCH,
    by_beginning=BY_BEGINNING,
    watch=rows.watch,
)
