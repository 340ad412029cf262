"""What is known of a task, in records that tasks share. No I/O."""

import msgspec

_MAX_INTERNED = 1000


class Knowledge(msgspec.Struct, frozen=True, gc=False):
    """What is known of a task (`transitions.Known`), and what its last answers were.

    `shown` are the statuses that this run of the task has shown. `missing_since` is in Unix
    seconds, `reopened_at` in monotonic seconds. `removed` is set once the task has left the
    watchlist. `not_in_page` is set if the last list answer did not show the task, so that it has to
    be polled individually. While `steady`, an answer with the same status changes nothing.
    """

    status: str | None = None
    shown: frozenset[str] = frozenset()
    missing_since: float | None = None
    reopened_at: float | None = None
    lost: bool = False
    removed: bool = False
    not_in_page: bool = False
    steady: bool = True

    def settled(self) -> "Knowledge":
        """Return the same, with `steady` as the other fields demand."""
        steady = self.missing_since is None and not self.lost and self.reopened_at is None
        return msgspec.structs.replace(self, steady=steady)


NOTHING = Knowledge()

_interned: dict[Knowledge, Knowledge] = {}


def interned(known: Knowledge) -> Knowledge:
    """Return an equal record, one object for all tasks that are neither missing nor reopened.

    A watchlist has few different ones, as it has few different statuses, so a task takes no memory
    for what is known of it.
    """
    if known.missing_since is not None or known.reopened_at is not None:
        return known
    if len(_interned) >= _MAX_INTERNED:
        _interned.clear()
    return _interned.setdefault(known, known)
