"""What a replica does beside a daemon that has a store of its own: it keeps its session, follows
what others have stored, and hands over in order.
"""

import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol, cast

import anyio

from watcher import __version__
from watcher.core.clock import Clock
from watcher.core.durations import format_duration
from watcher.core.errors import StoreError, StoreUnusableError
from watcher.core.interfaces.ownership import Ownership
from watcher.core.interfaces.store import Store
from watcher.core.ownership import Group, Member, Replica, channel_group, source_group
from watcher.core.reports import Report
from watcher.core.settings import Settings
from watcher.core.wakeup import Wakeup
from watcher.daemon.following import Follower
from watcher.daemon.membership import Membership
from watcher.daemon.reload import ReloadRequests
from watcher.daemon.running import RunningUnits
from watcher.daemon.served import Served
from watcher.daemon.waiting import cancel_at
from watcher.telemetry.fleet_metrics import FleetMetrics
from watcher.telemetry.metrics import Component
from watcher.telemetry.throttle import LogThrottle
from watcher.telemetry.unexpected import UnexpectedErrors

logger = logging.getLogger(__name__)

UNSERVED_FOR = 60.0
"""Seconds for which slices may have no owner: several times as long as a takeover takes."""
MIGRATE_INTERVAL = 10.0
"""Seconds between two attempts at changes of the schema that wait for older replicas."""
_SLICES = {"webhook": 4}
"""Slices of a channel, by its type. The rate of any other is that of one sender, as its digests."""


class SharedStore(Store, Ownership, Protocol):
    """A store that replicas share."""


class Fleet:
    """One replica. `settings` returns those that it runs with, `lag` by how many seconds polling is
    late. Where a store is not shared, `Alone` takes its place.
    """

    is_shared = True

    def __init__(
        self,
        store: SharedStore,
        *,
        settings: Callable[[], Settings],
        lag: Callable[[], float],
        unexpected: UnexpectedErrors,
        metrics: FleetMetrics,
        wall: Clock,
    ) -> None:
        self._store = store
        self._unexpected = unexpected
        self._requests: ReloadRequests | None = None
        self._unusable: StoreUnusableError | None = None
        self._log_throttle = LogThrottle(anyio.current_time)
        self._member = Member(name=socket.gethostname(), version=__version__, started_at=wall())
        self.membership = Membership(
            store,
            self._member,
            groups=lambda: groups_of(settings()),
            lag=lag,
            changed=self._apply_again,
            metrics=metrics,
        )
        self.served: Served = self.membership

    def reports(self, report: Callable[[], Report]) -> None:
        """Send other replicas what `report` returns, with each renewal."""
        self.membership.report = report

    @asynccontextmanager
    async def joined(
        self, requests: ReloadRequests, units: RunningUnits, outbox: Wakeup
    ) -> AsyncIterator[None]:
        """Be a member within. What is granted is known at the start; other replicas take over at
        the end, when nothing may run any more.

        If the store stops serving this program, makes `requests` stop, and raises
        `StoreUnusableError` at the end.
        """
        follower = Follower(self._store, units, outbox)
        async with anyio.create_task_group() as joining:
            joining.start_soon(cancel_at, requests.stopping, joining.cancel_scope)
            await follower.begin()
            await self.membership.join()
            joining.cancel_scope.cancel()
        self._requests = requests
        keep_running = partial(self._unexpected.keep_running, Component.FLEET)
        async with anyio.create_task_group() as tasks:
            renewing = partial(self._renew, requests)
            tasks.start_soon(keep_running, renewing, name="membership")
            tasks.start_soon(keep_running, self._migrate, name="migrations")
            tasks.start_soon(keep_running, follower.run, name="follow")
            listening = partial(follower.listen, self.membership.moved)
            tasks.start_soon(keep_running, listening, name="listen")
            yield
            self._requests = None
            tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await self.membership.leave()
        if self._unusable is not None:
            raise self._unusable

    async def _renew(self, requests: ReloadRequests) -> None:
        """Renew the session until cancelled, or until the store stops serving this program, which
        then has to end.
        """
        try:
            await self.membership.run()
        except StoreUnusableError as error:
            logger.error("%s; stopping", error)
            self._unusable = error
            requests.stop()

    async def _migrate(self) -> None:
        """Change the schema further once older replicas have ended."""
        while True:
            if await self._has_migrated():
                return
            await anyio.sleep(MIGRATE_INTERVAL)

    async def _has_migrated(self) -> bool:
        try:
            return await self._store.migrate()
        except StoreUnusableError:
            return True  # the next renewal shows it, too
        except StoreError as error:
            if self._log_throttle.ready(str(error)):
                logger.warning("%s; it is tried again", error)
            return False

    async def applied(self, units: RunningUnits) -> None:
        """Give up what other replicas should have, now that nothing serves it here."""
        await self.membership.settled()
        for unit in units.channels.values():
            unit.claim_again()

    async def polling_ended(self) -> None:
        """Let other replicas poll at once, while deliveries in flight have their grace."""
        await self.membership.give_up(source_group(""))

    def apart(self) -> str | None:
        """Return why this replica cannot write; None while it can. See `Membership.apart`."""
        return self.membership.apart()

    async def problem(self) -> str | None:
        """Return what is late at another replica, or for how long slices have had no owner; None
        if nothing is wrong. Raises `StoreError`.
        """
        if (lasts := self.membership.unowned_for()) > UNSERVED_FOR:
            unowned = len(self.membership.lease.unowned)
            return f"{unowned} slices have had no owner for {format_duration(lasts)}"
        found = (
            f"replica {replica.name}: {replica.report.late}"
            for replica in await self._store.replicas()
            if replica.report.late is not None and not self.is_this(replica)
        )
        return next(found, None)

    def is_this(self, replica: Replica) -> bool:
        """Return whether a replica is this one."""
        return self._member.name == replica.name and self._member.started_at == replica.started_at

    async def replicas(self) -> tuple[Replica, ...]:
        """Return all live replicas, by name. Raises `StoreError`."""
        return tuple(await self._store.replicas())

    def _apply_again(self) -> None:
        if self._requests is not None:
            self._requests.apply_again()


def shared(store: Store) -> SharedStore | None:
    """Return a store that replicas share; None for any other."""
    return cast("SharedStore", store) if isinstance(store, Ownership) else None


def groups_of(settings: Settings) -> list[Group]:
    """Return what settings name, in the groups that replicas own slices of."""
    sources = [Group(name=source_group(source.name)) for source in settings.sources]
    channels = [
        Group(name=channel_group(channel.name), slices=_SLICES.get(channel.type, 1))
        for channel in settings.channels
    ]
    return [*sources, *channels]
