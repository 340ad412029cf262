"""What a kind of store offers to `watcher store copy`: its rows in a form that each kind has.

A row is a sequence of numbers, texts, bytes, booleans, lists of texts and maps of texts, or None.
A plugin of stores has two functions: `exported(url)` opens a stopped store to read it, and
`imported(url)` an empty one that is complete once the context ends without an error, and else as it
was. Both raise `StoreUnusableError` where that is not possible.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple, Protocol

Row = Sequence[Any]


class Counters(NamedTuple):
    """The greatest numbers that were assigned so far: none of them is ever used again."""

    watches: int
    events: int
    deliveries: int


class Exported(Protocol):
    """A store that is read. Every method may raise `StoreError`."""

    async def counts(self) -> dict[str, int]:
        """Return how many rows each table has, in an order in which they can be inserted."""
        ...

    def rows(self, table: str) -> AsyncIterator[Sequence[Row]]:
        """Yield all rows of a table, some at a time."""
        ...

    async def counters(self) -> Counters:
        """Return the counters."""
        ...


class Imported(Exported, Protocol):
    """A store that is written."""

    async def insert(self, table: str, rows: Sequence[Row]) -> None:
        """Insert rows that another store has exported."""
        ...

    async def set_counters(self, counters: Counters) -> None:
        """Store the counters."""
        ...
