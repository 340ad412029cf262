"""Keeps a replica from writing for slices that it does not own.

What an owner writes names its slices. They are compared with the grants when it is called, and with
the rows of the slices in its transaction, which locks them: a claim by another replica comes before
or after the whole transaction. So a replica that was stopped for longer than its lease, or whose
clock is wrong, changes nothing.
"""

import logging
from collections.abc import Collection, Iterable, Sequence

from watcher.core.errors import NotOwnerError
from watcher.core.log_fields import about
from watcher.core.ownership import Grant, Slice, groups_of, slice_number
from watcher.core.sessions import LocalSession
from watcher.stores.postgresql.ownership_queries import FENCE
from watcher.stores.postgresql.schema import Connection

logger = logging.getLogger(__name__)


def slice_arrays(slices: Iterable[Slice]) -> tuple[list[str], list[int]]:
    """Return slices as two parameters for `unnest`."""
    pairs = list(slices)
    return [group for group, _ in pairs], [number for _, number in pairs]


class Fence:
    """The grants of `local`, and which of them the transaction that runs now has locked."""

    def __init__(self, local: LocalSession) -> None:
        self._local = local
        self._locked: dict[Slice, int] = {}
        self._expected: set[Slice] = set()

    @property
    def session(self) -> int | None:
        """The session whose slices are this replica's; None where nothing is restricted. A
        replica without a session has one that owns nothing.
        """
        return (self._local.session or 0) if self._local.in_fleet else None

    # What is granted

    def slots(self, group: str) -> list[int] | None:
        """Return the slots of a group that this replica owns; None where nothing is restricted."""
        if not self._local.in_fleet:
            return None
        return [slot for grant in self._granted(group) for slot in grant.slots()]

    def grants(self, group: str, keys: Collection[str] | None = None) -> Sequence[Grant]:
        """Return the grants for what belongs to these keys, or for all that this replica owns of a
        group; none where nothing is restricted.

        Raises `NotOwnerError` if this replica does not own the slice of a key, or none at all.
        """
        if not self._local.in_fleet:
            return ()
        granted = {grant.slice.number: grant for grant in self._granted(group)}
        if not granted:
            raise self._rejected(group)
        if keys is None:
            return tuple(granted.values())
        of = next(iter(granted.values())).of
        numbers = {slice_number(key, of) for key in keys}
        if not numbers <= granted.keys():
            raise self._rejected(group)
        return [granted[number] for number in sorted(numbers)]

    def owns_all(self, group: str, slots: Collection[int]) -> bool:
        """Return whether this replica owns the slices that these slots of a group belong to; True
        where nothing is restricted.
        """
        owned = self.slots(group)
        return owned is None or set(owned).issuperset(slots)

    def _rejected(self, group: str) -> NotOwnerError:
        self._local.fenced += 1
        return NotOwnerError(group)

    def _granted(self, group: str) -> Sequence[Grant]:
        return groups_of(self._local.granted().values()).get(group, ())

    # Within a transaction

    def begin(self) -> None:
        """A transaction begins, which has locked nothing."""
        self._locked = {}

    def expect(self, grants: Iterable[Grant]) -> None:
        """A transaction will need these grants: it locks them together."""
        self._expected.update(grant.slice for grant in grants)

    async def foreign(self, connection: Connection, grants: Sequence[Grant]) -> Slice | None:
        """Lock slices until the transaction ends; return one that is not this replica's."""
        if not all(grant.slice in self._locked for grant in grants):
            await self._lock(connection, {grant.slice for grant in grants})
        lost = [grant for grant in grants if self._locked.get(grant.slice) != grant.epoch]
        for grant in lost:
            self._void(grant)
        if lost:
            self._local.fenced += 1
        return lost[0].slice if lost else None

    async def _lock(self, connection: Connection, slices: set[Slice]) -> None:
        needed = (slices | self._expected) - self._locked.keys()
        self._expected.clear()
        names, numbers = slice_arrays(sorted(needed))
        self._locked |= dict.fromkeys(needed, 0)
        for name, number, epoch in await connection.fetch(FENCE, self.session, names, numbers):
            self._locked[Slice(name, number)] = epoch

    def _void(self, grant: Grant) -> None:
        if self._local.granted().get(grant.slice) == grant:
            self._local.void([grant.slice])
            kind, _, name = grant.slice.group.partition(" ")
            logger.warning(
                "%s %r, slice %d: another replica serves it now",
                kind,
                name,
                grant.slice.number,
                extra=about(source=name) if kind == "source" else about(channel=name),
            )
