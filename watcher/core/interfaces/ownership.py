"""What a store must promise to replicas that share it. A store of one process does not have this.

Once `renew` was called, the store belongs to a fleet: what an owner schedules from (`due`,
`due_for_probe`, `next_due_at`, `active_watches`, `unchanged_watches`) shows the granted slices
alone, and what an owner writes (`record`, `settle`, `unblock_expired`, `make_due`, `discover`)
raises `NotOwnerError` where a slice is not granted or was given to another replica. Without
`renew`, nothing is restricted.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol, runtime_checkable

from watcher.core.ownership import Grant, Group, Lease, Member, Replica, Signals, Slice
from watcher.core.reports import NOTHING_REPORTED, Report


@runtime_checkable
class Ownership(Protocol):
    """Sessions of replicas, and what they own."""

    async def renew(
        self,
        member: Member,
        groups: Sequence[Group],
        lag: float,
        report: Report = NOTHING_REPORTED,
    ) -> Lease:
        """Renew this replica's session, claim free slices of `groups`, and return what is granted.
        Other replicas read `lag` and `report`.

        Call it every `RENEW_INTERVAL` seconds, in the loop that does the work, also after it has
        raised `StoreError`. A session that has ended is replaced: all its grants are void, and each
        slice returns with a new epoch, if it does. A grant whose epoch has changed is a new one.

        Raises `StoreUnusableError` once another replica has changed the schema so that this program
        cannot use it: stop.
        """
        ...

    def granted(self) -> Mapping[Slice, Grant]:
        """Return the grants that this replica may trust now: none after `TRUSTED_FOR` seconds
        without a renewal. Look here before each request and each attempt; it costs no statement.
        """
        ...

    def trusted(self) -> bool:
        """Return whether this replica has a session that it may trust now, even one that owns
        nothing.
        """
        ...

    def fenced(self) -> int:
        """Return how many writes of this replica were rejected with `NotOwnerError` so far."""
        ...

    async def migrate(self) -> bool:
        """Apply the changes of the schema that waited for the end of older replicas; return whether
        none waits any more. Call it from time to time until then.
        """
        ...

    async def release(self, slices: Collection[Slice]) -> None:
        """Give up slices, once nothing serves them any more; they are free at once, and are not
        granted any more whether or not this raises `StoreError`.
        """
        ...

    async def leave(self) -> None:
        """End the session: everything that this replica owns is free at once."""
        ...

    async def replicas(self) -> Sequence[Replica]:
        """Return the live replicas, by name."""
        ...

    async def signals(self, after: int | None) -> Signals:
        """Return what other replicas have signalled after the number `after`, in order.

        None is for the first call: nothing before it counts. Call it every second and after each
        hint; signals are kept for at least `SIGNALS_KEPT` seconds.
        """
        ...

    def now(self) -> float:
        """Return the Unix seconds by the clock that all replicas follow: events, attempts and
        whatever is due are dated by it, so that each replica sees the times of the others rightly.
        """
        ...

    async def follow(self, hint: Callable[[], None], moved: Callable[[], None]) -> None:
        """Call `hint` when another replica has stored something, and `moved` when a session or what
        it owns may have changed; give hints to the others; until cancelled. Hints may be lost:
        `signals` and the next renewal decide.
        """
        ...
