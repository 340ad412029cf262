"""The counterpart of `fleet` where a process has its store for itself."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from watcher.core.ownership import Replica
from watcher.core.reports import Report
from watcher.core.wakeup import Wakeup
from watcher.daemon.reload import ReloadRequests
from watcher.daemon.running import RunningUnits
from watcher.daemon.served import Everything, Served


class Alone:
    """Has the methods of `Fleet`: nothing to join, to hand over or to wait for."""

    is_shared = False

    def __init__(self) -> None:
        self.served: Served = Everything()

    def reports(self, report: Callable[[], Report]) -> None:
        """Nothing: no other process reads it."""

    @asynccontextmanager
    async def joined(
        self, requests: ReloadRequests, units: RunningUnits, outbox: Wakeup
    ) -> AsyncIterator[None]:
        yield

    async def applied(self, units: RunningUnits) -> None:
        """Nothing: no slice is given up."""

    async def polling_ended(self) -> None:
        """Nothing: no other process takes over."""

    def apart(self) -> str | None:
        return None

    async def problem(self) -> str | None:
        return None

    def is_this(self, replica: Replica) -> bool:
        return False

    async def replicas(self) -> tuple[Replica, ...]:
        return ()
