"""How much to remove at once."""

from collections.abc import Sequence

from watcher.stores._rows import Row


def until_freed(size: int, found: Sequence[Row]) -> Sequence[Row]:
    """Return the fewest first rows (ID, size) that take `size` bytes, else all."""
    taken = 0
    for number, (_, row_size) in enumerate(found, 1):
        taken += row_size
        if taken >= size:
            return found[:number]
    return found
