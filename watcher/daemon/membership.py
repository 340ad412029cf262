"""This replica's membership of a fleet: it renews its session, and knows what it serves."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import anyio

from watcher.core.errors import StoreError, StoreUnusableError
from watcher.core.interfaces.ownership import Ownership
from watcher.core.ownership import RENEW_INTERVAL, Grant, Group, Lease, Member, Slice, groups_of
from watcher.core.reports import Report
from watcher.core.wakeup import Wakeup
from watcher.telemetry.fleet_metrics import FleetMetrics
from watcher.telemetry.throttle import LogThrottle

logger = logging.getLogger(__name__)


class Membership:
    """Renews within `run`. Implements `Served`.

    `groups` returns what the settings name, `lag` by how many seconds polling is late. `changed` is
    called when other units have to run than before; once they do, `settled` has to be awaited.
    """

    def __init__(
        self,
        store: Ownership,
        member: Member,
        *,
        groups: Callable[[], Sequence[Group]],
        lag: Callable[[], float],
        changed: Callable[[], None],
        metrics: FleetMetrics,
    ) -> None:
        self._store = store
        self._member = member
        self._groups = groups
        self._lag = lag
        self._changed = changed
        self._metrics = metrics
        self._grants: Mapping[str, tuple[Grant, ...]] = {}
        self._tenures: dict[str, int] = {}
        self._surplus: Slice | None = None
        self._given_up: str | None = None
        self._unowned_since: float | None = None
        self._failure = "it has not joined the others yet"
        self._moved = Wakeup()
        self._log_throttle = LogThrottle(anyio.current_time)
        self.lease = Lease()
        """What the last renewal has returned."""
        self.report: Callable[[], Report] = Report
        """Returns what this replica reports about what it serves."""

    # What is served

    def tenure(self, group: str) -> int | None:
        return self._tenures.get(group) if group in self._grants else None

    def slots(self, group: str) -> frozenset[int] | None:
        grants = self._grants.get(group, ())
        return frozenset(slot for grant in grants for slot in grant.slots())

    def leads(self, group: str) -> bool:
        return any(grant.slice.number == 0 for grant in self._grants.get(group, ()))

    def trusted(self, group: str) -> bool:
        return any(one.group == group for one in self._store.granted())

    # The session

    def apart(self) -> str | None:
        """Return why this replica cannot write for a slice; None while it has a session that it may
        trust, even one that owns nothing.
        """
        return None if self._store.trusted() else f"this replica has no session: {self._failure}"

    def unowned_for(self) -> float:
        """Return for how many seconds there have been slices without an owner."""
        since = self._unowned_since
        return 0.0 if since is None else anyio.current_time() - since

    async def join(self) -> None:
        """Renew the session; while the store fails, try again."""
        while True:
            if await self.renew():
                return
            await anyio.sleep(RENEW_INTERVAL)

    async def run(self) -> None:
        """Renew the session each `RENEW_INTERVAL`, and at once after `moved`, until cancelled."""
        while True:
            began, generation = anyio.current_time(), self._moved.generation
            await self.renew()
            with anyio.move_on_after(max(began + RENEW_INTERVAL - anyio.current_time(), 0.0)):
                await self._moved.wait(generation)

    def moved(self) -> None:
        """Renew at once: another replica has begun, given up or claimed something."""
        self._moved.set()

    async def renew(self) -> bool:
        """Renew the session, and note what is granted; return whether that has succeeded.

        Raises `StoreUnusableError` where waiting does not help.
        """
        try:
            lease = await self._store.renew(
                self._member, self._wanted(), self._lag(), self.report()
            )
        except StoreUnusableError as error:
            self._failure = str(error)
            self._show(None)
            raise
        except StoreError as error:
            self._failure = str(error)
            if self._log_throttle.ready("renew"):
                logger.error("%s; what this replica serves passes to others", error)
            self._show(None)
            return False
        self._take(lease)
        self._show(lease)
        return True

    def _wanted(self) -> Sequence[Group]:
        if (kind := self._given_up) is None:
            return self._groups()
        kept = (one for one in self._groups() if not one.name.startswith(kind))
        return [replace(one, wanted=False) for one in kept]

    async def settled(self) -> None:
        """Release the slice that another replica should have: nothing serves it any more."""
        if (surplus := self._surplus) is None:
            return
        try:
            await self._store.release([surplus])
        except StoreError as error:
            logger.warning("%s; another replica takes over later", error)
        self._surplus = None

    async def give_up(self, kind: str) -> None:
        """Release all groups whose names begin with `kind`, and claim nothing any more."""
        self._given_up = kind
        grants = [one for one in self._store.granted() if one.group.startswith(kind)]
        try:
            await self._store.release(grants)
        except StoreError as error:
            logger.warning("%s; other replicas take over in some seconds", error)

    async def leave(self) -> None:
        """Let other replicas take over at once. Nothing runs any more."""
        try:
            await self._store.leave()
        except StoreError as error:
            logger.warning("%s; other replicas take over in some seconds", error)

    def _show(self, lease: Lease | None) -> None:
        owned, fenced = len(self._store.granted()), self._store.fenced()
        self._metrics.shows(lease, owned=owned, fenced=fenced)

    def _take(self, lease: Lease) -> None:
        self.lease = lease
        if not lease.unowned:
            self._unowned_since = None
        elif self._unowned_since is None:
            self._unowned_since = anyio.current_time()
        if self._surplus is None:
            self._surplus = lease.surplus
        kept = [grant for grant in lease.grants if grant.slice != self._surplus]
        grants = groups_of(kept)
        before = self._grants
        if grants == before and self._surplus is None:
            return
        for group, held in grants.items():
            if _is_new_tenure(before.get(group, ()), held):
                self._tenures[group] = self._tenures.get(group, 0) + 1
        self._grants = grants
        self._log(before, grants)
        self._changed()

    def _log(
        self, before: Mapping[str, tuple[Grant, ...]], now: Mapping[str, tuple[Grant, ...]]
    ) -> None:
        for group in sorted(before.keys() | now.keys()):
            held, had = now.get(group, ()), before.get(group, ())
            if len(held) != len(had) or _is_new_tenure(had, held):
                of = (*held, *had)[0].of
                logger.info("this replica serves %d of %d slices of %s", len(held), of, group)


def _is_new_tenure(before: Sequence[Grant], now: Sequence[Grant]) -> bool:
    """Return whether what is held now was not held before, or has been another's meanwhile."""
    epochs = {grant.slice: grant.epoch for grant in before}
    return not epochs or any(epochs.get(grant.slice, grant.epoch) != grant.epoch for grant in now)
