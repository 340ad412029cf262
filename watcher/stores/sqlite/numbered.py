"""A connection that accepts sequences for numbered placeholders (`?1`).

From Python 3.12 on, `sqlite3` wants a mapping for them: with a sequence it warns, and Python 3.14
raises an error.
"""

import sqlite3
from collections.abc import Iterable
from typing import Any


class NumberedConnection(sqlite3.Connection):
    """Passes a sequence to a statement with `?1` as a mapping of its numbers."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        return super().execute(sql, _numbered(parameters) if "?1" in sql else parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        return super().executemany(sql, map(_numbered, parameters) if "?1" in sql else parameters)


def _numbered(values: Any) -> dict[str, Any]:
    return {str(number): value for number, value in enumerate(values, 1)}
