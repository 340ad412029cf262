"""Rows that were shown before: a live page shows most of its rows again, and few have changed."""

from collections.abc import Callable, Hashable

from markupsafe import Markup

_MOST = 1000
"""Rows that are kept: a page has 200 at most."""
_LONGEST = 4000
"""Characters of a row that is kept."""


class RememberedRows:
    """Renders a row again only if its record has changed."""

    def __init__(self) -> None:
        self._rows: dict[Hashable, tuple[object, Markup]] = {}

    def __call__(
        self, row: Callable[..., Markup], key: Hashable, record: object, *around: Hashable
    ) -> Markup:
        """Return what the macro `row` makes of a record, which `key` names, and of `around`."""
        place = (row.name, key, around)  # type: ignore[attr-defined]  # of a macro
        known = self._rows.get(place)
        if known is not None and known[0] == record:
            return known[1]
        shown = row(record, *around)
        self._rows.pop(place, None)
        if len(shown) <= _LONGEST:
            self._rows[place] = (record, shown)
            if len(self._rows) > _MOST:
                del self._rows[next(iter(self._rows))]
        return shown
