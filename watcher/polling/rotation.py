"""Which page of its list a discovery rule reads next, so that a run costs one request while nothing
is new. Pure.

The newest tasks are on the first page if upstream sorts. Where it does not, or where tasks enter
the list late, any page may have a new one: the others take turns with the first one, one per run.
"""

_PASS_WITHIN = 3600.0
"""Seconds for reading all pages once, if the order of the list is proven."""


class Rotation:
    """The pages of one list, known by the cursors at which they begin; `every` is the interval.

    `page` is the number of the page to read in this run.
    """

    def __init__(self, every: float, max_pages: int) -> None:
        self._every = every
        self._max_pages = max_pages
        self._cursors: list[str | None] = []
        self._run = 0
        self._next = 1
        self.sorted = False
        self.page = 0

    @property
    def pages(self) -> int:
        """How many pages the list has; 0 before it was read."""
        return len(self._cursors)

    def restart(self) -> None:
        """Forget all pages."""
        self._cursors = []
        self.page = 0

    def begin(self) -> str | None:
        """Begin a run; return the cursor of its page, None for the first page."""
        self._run += 1
        self.page = 0
        if len(self._cursors) > 1 and self._run % self._runs_per_page() == 0:
            self.page = self._next if self._next < len(self._cursors) else 1
        return self._cursors[self.page]

    def read(self, page: int, next_cursor: str | None) -> None:
        """Note that a page was read, and where the next one begins."""
        if page == 0 and not self._cursors:
            self._cursors = [None]
        following = page + 1
        if next_cursor is None or following >= self._max_pages:
            del self._cursors[following:]
        elif following < len(self._cursors):
            self._cursors[following] = next_cursor
        elif following == len(self._cursors):
            self._cursors.append(next_cursor)
        if page:
            self._next = following

    def failed(self) -> None:
        """Note that a page could not be read: go on after the first page, which has no cursor."""
        self._next = 1

    def _runs_per_page(self) -> int:
        if not self.sorted:
            return 2
        return max(2, int(_PASS_WITHIN / self._every / len(self._cursors)))
