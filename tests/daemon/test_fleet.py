"""What one replica knows of the others."""

from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from prometheus_client import CollectorRegistry

from tests.daemon.test_membership import Fleet as StoreOfFleet
from watcher.core.ownership import Lease, Replica, Slice
from watcher.core.reports import Report
from watcher.daemon.fleet import UNSERVED_FOR, Fleet
from watcher.telemetry.fleet_metrics import FleetMetrics
from watcher.telemetry.metrics import Metrics
from watcher.telemetry.unexpected import UnexpectedErrors

pytestmark = pytest.mark.anyio


class SharedStore(StoreOfFleet):
    """A store whose live replicas are `live`."""

    def __init__(self, *leases: Lease | None) -> None:
        super().__init__(*leases)
        self.live: list[Replica] = []

    async def replicas(self) -> Sequence[Replica]:
        return self.live


def replica(name: str, late: str | None) -> Replica:
    report = Report(late=late)
    return Replica(
        name=name, version="1", started_at=1.0, lag=0.0, renewed=0.0, slices=(), report=report
    )


async def test_what_is_late_at_another_replica_is_a_problem_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    free = Lease(unowned=(Slice("channel backend", 0), Slice("source mixpeek", 0)))
    anything: Any = SharedStore(free, Lease())
    fleet = Fleet(
        anything,
        settings=lambda: anything,
        lag=lambda: 0.0,
        unexpected=UnexpectedErrors(Metrics(CollectorRegistry(), "1")),
        metrics=FleetMetrics(CollectorRegistry()),
        wall=lambda: 1.0,
    )
    monkeypatch.setattr(fleet.membership, "_groups", list)
    own = fleet._member.name
    anything.live = [replica(own, "its own"), replica(f"{own}_2", None)]
    assert await fleet.problem() is None
    anything.live.append(replica(f"{own}_3", "stalled loops: poller mixpeek"))
    assert await fleet.problem() == f"replica {own}_3: stalled loops: poller mixpeek"

    anything.live = []
    now = anyio.current_time()
    await fleet.membership.renew()
    assert await fleet.problem() is None
    monkeypatch.setattr(anyio, "current_time", lambda: now + UNSERVED_FOR + 5)
    problem = await fleet.problem() or ""
    assert problem.startswith("2 slices have had no owner for 1 min")
    await fleet.membership.renew()
    assert await fleet.problem() is None
