"""Finding out why the list fails for some requests, or answers for a part of the task IDs only:
because of single IDs, or because they are too many for one request.

A part that failed is halved, and both halves are requested. If both of them work, the part was too
large; if only one fails, the cause is in it. After a timeout there are eight pieces, because each
failure takes long. A part that was answered in part may have been cut by
a limit that the deployment does not document: then some of the omitted IDs are answered if they
are requested again.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from watcher.core.errors import SourceError, SourceFailure
from watcher.sources.mixpeek.page_limit import PageLimit

FEW_OMITTED = 10
"""So many IDs that the list omits are polled individually; more are requested again first."""
_PIECES = 2
_PIECES_AFTER_TIMEOUT = 8


class _Cut(NamedTuple):
    """A request for `requested` IDs, of which `answered` were answered; `later` are to follow."""

    requested: int
    answered: int
    later: Sequence[str]


class Part:
    """The task IDs of one request, which is a piece of one that failed or a test of one cut.

    `first_page` is how many of them the first page answered, if it was followed by others.
    """

    __slots__ = ("cut", "failing_pieces", "first_page", "ids", "piece_of", "tries")

    def __init__(
        self, ids: Sequence[str], piece_of: "Part | None" = None, cut: _Cut | None = None
    ) -> None:
        self.ids = ids
        self.piece_of = piece_of
        self.cut = cut
        self.tries = 0
        self.failing_pieces = 0
        self.first_page = 0


class Bisection:
    """The parts of task IDs still to request, and the IDs for which the list fails alone.

    What the requests show about the size of a page is noted in `limit`. `requests` counts all,
    `failures` those that failed since the last one that worked; `failed_before` is whether any did.
    """

    def __init__(self, task_ids: Sequence[str], limit: PageLimit) -> None:
        self._limit = limit
        self._ceiling = limit.size
        self._to_request: list[Part] = []
        self._failed: list[Part] = []
        self.rejected: dict[str, SourceError] = {}
        self.failures = 0
        self.failed_before = False
        self.requests = 0
        self._add(task_ids)

    def next_part(self) -> Part | None:
        """Return the part to request next; None when there is none left."""
        if not self._to_request:
            if not self._failed:
                return None
            self._divide(self._failed.pop())
        part = self._to_request.pop()
        if len(part.ids) > self._ceiling:
            size = self._ceiling
            self._add(part.ids[size:])
            part = Part(part.ids[:size])
        self.requests += 1
        return part

    def answered(self, part: Part, omitted: Sequence[str]) -> None:
        """Note that the list answered for a part, except for the IDs that it omitted."""
        self.failures = 0
        count = len(part.ids) - len(omitted)
        if count and part.cut is not None:
            self._too_large(part.cut.requested, works=part.cut.answered)
            self._add(part.cut.later)
        if count and len(omitted) > FEW_OMITTED:
            cut = _Cut(len(part.ids), count, omitted[count:])
            self._to_request.append(Part(omitted[:count], cut=cut))
            return
        if part.first_page:
            # As many requests for as many pages, but each can begin with the most urgent tasks.
            self._too_large(len(part.ids), works=part.first_page)
        elif count:
            self._limit.worked(len(part.ids))
        if (whole := part.piece_of) is not None:
            whole.failing_pieces -= 1
            if whole.failing_pieces == 0:
                self._too_large(len(whole.ids), works=len(part.ids))

    def failed(self, part: Part, error: SourceError, remaining: set[str]) -> None:
        """Divide what `remaining` holds of a part that failed; a single ID is rejected.

        A single ID that was not a part of a failed request before is requested once more first.
        """
        self.failures += 1
        self.failed_before = True
        part.tries += 1
        part.ids = [task_id for task_id in part.ids if task_id in remaining]
        if len(part.ids) > 1:
            pieces = _PIECES_AFTER_TIMEOUT if error.reason is SourceFailure.TIMEOUT else _PIECES
            part.failing_pieces = min(pieces, len(part.ids))
            self._failed.append(part)
        elif part.piece_of is None and part.tries == 1:
            self._to_request.append(part)
        else:
            self.rejected.update(dict.fromkeys(part.ids, error))

    def _add(self, task_ids: Sequence[str]) -> None:
        if task_ids:
            self._to_request.append(Part(task_ids))

    def _divide(self, part: Part) -> None:
        count = part.failing_pieces
        bounds = [len(part.ids) * number // count for number in range(count + 1)]
        pieces = [part.ids[start:end] for start, end in pairwise(bounds)]
        self._to_request += [Part(piece, part) for piece in reversed(pieces)]

    def _too_large(self, count: int, *, works: int) -> None:
        self._limit.failed(count, works=works)
        self._ceiling = self._limit.works
