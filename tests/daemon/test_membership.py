"""What a replica serves follows what it was granted, and is given up in order."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import anyio
import pytest
from prometheus_client import CollectorRegistry

from tests.support.records import SECRET
from tests.support.virtual_time import VirtualLoop
from watcher.configuration import loader
from watcher.core.deliveries import OutboxDepth
from watcher.core.errors import StoreError, StoreUnusableError
from watcher.core.ownership import (
    RENEW_INTERVAL,
    Grant,
    Group,
    Lease,
    Member,
    Replica,
    Signals,
    Slice,
)
from watcher.core.reports import NOTHING_REPORTED, Report
from watcher.daemon.membership import Membership
from watcher.daemon.served import Everything, shown_depths
from watcher.telemetry.fleet_metrics import FleetMetrics

pytestmark = pytest.mark.anyio

CHANNELS = {
    "WATCHER_CHANNELS": json.dumps(
        [
            {"name": name, "type": "webhook", "url": "https://x.example/", "secrets": [SECRET]}
            for name in ("backend", "alerts")
        ]
    )
}
BACKEND = "channel backend"
MIXPEEK = "source mixpeek"


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


def grant(group: str, number: int = 0, *, epoch: int = 1, of: int = 1) -> Grant:
    return Grant(Slice(group, number), epoch, of)


class Fleet:
    """A store whose next renewals return `leases`; None fails."""

    def __init__(self, *leases: Lease | None) -> None:
        self.leases = list(leases)
        self.grants: Mapping[Slice, Grant] = {}
        self.has_session = False
        self.released: list[Slice] = []
        self.left = 0
        self.rejected = 0
        self.groups: Sequence[Group] = ()

    async def renew(
        self, member: Member, groups: Sequence[Group], lag: float, report: Report = NOTHING_REPORTED
    ) -> Lease:
        self.groups = groups
        lease = self.leases.pop(0)
        self.has_session = lease is not None
        if lease is None:
            raise StoreError("not reachable")
        self.grants = {one.slice: one for one in lease.grants}
        return lease

    def granted(self) -> Mapping[Slice, Grant]:
        return self.grants

    def trusted(self) -> bool:
        return self.has_session

    def fenced(self) -> int:
        return self.rejected

    async def migrate(self) -> bool:
        return True

    async def release(self, slices: Collection[Slice]) -> None:
        self.released += slices

    async def leave(self) -> None:
        self.left += 1

    async def replicas(self) -> Sequence[Replica]:
        return []

    async def signals(self, after: int | None) -> Signals:
        return Signals(last=0, last_event=0)

    def now(self) -> float:
        return 0.0

    async def follow(self, hint: Callable[[], None], moved: Callable[[], None]) -> None:
        hint()
        moved()


def member_of(
    fleet: Fleet,
    changes: list[int] | None = None,
    registry: CollectorRegistry | None = None,
) -> Membership:
    return Membership(
        fleet,
        Member(name="one", version="1", started_at=0.0),
        groups=lambda: [Group(name=MIXPEEK), Group(name=BACKEND)],
        lag=lambda: 0.0,
        changed=lambda: None if changes is None else changes.append(1),
        metrics=FleetMetrics(CollectorRegistry() if registry is None else registry),
    )


async def test_what_is_granted_is_served_and_nothing_else() -> None:
    changes = list[int]()
    second = Lease(grants=(grant(BACKEND, 1, of=4), grant(BACKEND, 2, of=4)))
    member = member_of(Fleet(Lease(grants=(grant(MIXPEEK),)), second), changes)
    assert member.tenure(MIXPEEK) is None

    await member.renew()
    assert member.tenure(MIXPEEK) is not None
    assert member.leads(MIXPEEK)
    assert member.slots(MIXPEEK) == frozenset(range(256))
    assert member.tenure(BACKEND) is None

    await member.renew()
    assert member.tenure(MIXPEEK) is None
    assert member.slots(BACKEND) == frozenset(range(64, 192))
    assert not member.leads(BACKEND), "the owner of the first slice does"
    assert len(changes) == 2


async def test_a_replica_without_a_session_that_it_may_trust_says_why() -> None:
    member = member_of(Fleet(None, Lease(), None))
    assert member.apart() == "this replica has no session: it has not joined the others yet"
    await member.renew()
    assert member.apart() == "this replica has no session: not reachable"
    await member.renew()
    assert member.apart() is None, "one that owns nothing may take over at any moment"
    await member.renew()
    assert member.apart() == "this replica has no session: not reachable"


async def test_a_store_that_is_not_for_this_program_any_more_ends_the_renewals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fleet = Fleet(Lease(), None)
    member = member_of(fleet)
    assert await member.renew()
    assert not await member.renew()

    async def unusable(*_arguments: object) -> Lease:
        raise StoreUnusableError("run a newer watcher")

    monkeypatch.setattr(fleet, "renew", unusable)
    with pytest.raises(StoreUnusableError):
        await member.join()
    with pytest.raises(StoreUnusableError):
        await member.run()


async def test_a_renewal_that_changes_nothing_restarts_nothing() -> None:
    changes = list[int]()
    lease = Lease(grants=(grant(MIXPEEK),))
    member = member_of(Fleet(lease, lease, None, lease), changes)
    for _ in range(4):
        await member.renew()
    assert len(changes) == 1


async def test_the_session_is_renewed_in_time_and_at_once_when_something_has_moved() -> None:
    fleet = Fleet(*[Lease()] * 9)
    member = member_of(fleet)

    def renewals() -> int:
        return 9 - len(fleet.leases)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(member.run)
        await anyio.sleep(1.5 * RENEW_INTERVAL)
        assert renewals() == 2
        member.moved()
        await anyio.sleep(0.01)
        assert renewals() == 3
        await anyio.sleep(RENEW_INTERVAL)
        assert renewals() == 4
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("before", "after", "again"),
    [
        (grant(MIXPEEK, epoch=1), grant(MIXPEEK, epoch=2), True),
        (grant(MIXPEEK, epoch=1), grant(MIXPEEK, epoch=1), False),
    ],
)
async def test_a_slice_that_was_another_s_meanwhile_is_served_again(
    before: Grant, after: Grant, again: bool
) -> None:
    member = member_of(Fleet(Lease(grants=(before,)), Lease(grants=(after,))))
    await member.renew()
    tenure = member.tenure(MIXPEEK)
    await member.renew()
    assert (member.tenure(MIXPEEK) != tenure) is again


async def test_a_further_slice_does_not_restart_the_others() -> None:
    first, second = grant(BACKEND, 0, of=2), grant(BACKEND, 1, of=2)
    member = member_of(Fleet(Lease(grants=(first,)), Lease(grants=(first, second))))
    await member.renew()
    tenure = member.tenure(BACKEND)
    await member.renew()
    assert member.tenure(BACKEND) == tenure
    assert member.slots(BACKEND) == frozenset(range(256))


async def test_a_surplus_is_released_only_once_nothing_serves_it() -> None:
    fleet = Fleet()
    grants = (grant(MIXPEEK), grant(BACKEND))
    surplus = Lease(grants=grants, surplus=Slice(BACKEND, 0))
    fleet.leases = [Lease(grants=grants), surplus, surplus]
    member = member_of(fleet)
    for _ in range(3):
        await member.renew()
    assert member.tenure(BACKEND) is None
    assert fleet.released == []

    await member.settled()
    await member.settled()
    assert fleet.released == [Slice(BACKEND, 0)]


async def test_without_trust_nothing_is_sent_though_the_grants_are_known() -> None:
    fleet = Fleet(Lease(grants=(grant(BACKEND),)))
    member = member_of(fleet)
    await member.renew()
    assert member.trusted(BACKEND)
    fleet.grants = {}
    assert not member.trusted(BACKEND)
    assert member.tenure(BACKEND) is not None


async def test_each_renewal_shows_the_fleet_and_one_that_fails_that_it_is_not_known() -> None:
    registry = CollectorRegistry()
    other = Replica(name="two", version="1", started_at=0.0, lag=0.0, renewed=0.0, slices=())
    lease = Lease(
        grants=(grant(BACKEND, 0, of=2), grant(BACKEND, 1, of=2)),
        replicas=(other, other, other),
        unowned=(Slice(MIXPEEK, 0),),
    )
    fleet = Fleet(lease, None, lease)
    member = member_of(fleet, registry=registry)

    def shown() -> list[str]:
        names = ("replicas", "unowned_slices", "owned_slices", "fenced_writes_total")
        return [str(registry.get_sample_value(f"watcher_{name}")) for name in names]

    assert shown() == ["nan", "nan", "0.0", "0.0"]
    fleet.rejected = 2
    await member.renew()
    assert shown() == ["3.0", "1.0", "2.0", "2.0"]
    fleet.grants = {}
    fleet.rejected = 3
    await member.renew()
    assert shown() == ["nan", "nan", "0.0", "3.0"]
    await member.renew()
    assert shown() == ["3.0", "1.0", "2.0", "3.0"]


async def test_what_is_given_up_is_released_and_nothing_is_claimed_any_more() -> None:
    grants = (grant(MIXPEEK), grant(BACKEND))
    fleet = Fleet(Lease(grants=grants), Lease(grants=grants[1:]))
    member = member_of(fleet)
    await member.renew()
    await member.give_up("source ")
    assert fleet.released == [Slice(MIXPEEK, 0)]
    await member.renew()
    assert fleet.groups == [Group(name=BACKEND, wanted=False)]


async def test_what_the_store_has_of_a_channel_is_shown_by_its_leader() -> None:
    depths = [replace(OutboxDepth.empty(name), pending=3) for name in ("backend", "alerts", "gone")]
    settings = loader.load(None, {"MIXPEEK_API_KEY": "sk_made_up", "HOME": "/", **CHANNELS})
    leader = member_of(Fleet(Lease(grants=(grant(BACKEND, 0, of=2), grant(MIXPEEK)))))
    other = member_of(Fleet(Lease(grants=(grant(BACKEND, 1, of=2), grant("channel alerts")))))
    shown = []
    for member in (leader, other, Everything()):
        if isinstance(member, Membership):
            await member.renew()
        found = shown_depths(depths, ["backend"], settings, member)
        shown.append({name: depth.pending for name, depth in found.items()})
    assert shown == [
        {"backend": 3, "gone": 3},
        {"backend": 0, "alerts": 3},
        {"backend": 3, "alerts": 3, "gone": 3},
    ]


async def test_it_knows_for_how_long_slices_have_had_no_owner(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(anyio, "current_time", lambda: now)
    free = Lease(unowned=(Slice(BACKEND, 0),))
    member = member_of(Fleet(free, free, None, Lease()))
    assert member.unowned_for() == 0.0
    for expected in (0.0, 10.0, 20.0):
        await member.renew()
        assert member.unowned_for() == expected
        now += 10.0
    await member.renew()
    assert member.unowned_for() == 0.0
