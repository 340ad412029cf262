"""Replicas that share one database: each slice has one owner, whose writes alone are stored."""

from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

import anyio
import asyncpg
import pytest

from tests.support.postgresql import Server
from watcher.core.channels import ChannelState
from watcher.core.errors import NotOwnerError, StoreError
from watcher.core.interfaces.ownership import Ownership
from watcher.core.ownership import RENEW_INTERVAL, TRUSTED_FOR, Group, Lease, Member, Slice
from watcher.core.reports import NOTHING_REPORTED, Report, SourceReport
from watcher.core.sessions import CALM, GATHERING, HEALTHY_FOR, LEFT_FREE
from watcher.core.wakeup import Wakeup
from watcher.stores import postgresql
from watcher.stores.postgresql import ownership
from watcher.stores.postgresql.schema import Connection
from watcher.stores.postgresql.signals import store_signal
from watcher.stores.postgresql.store import PostgresqlStore

pytestmark = pytest.mark.anyio

GROUPS = (Group(name="source a"), Group(name="channel b", slices=4))
SLICES = [*(Slice("channel b", number) for number in range(4)), Slice("source a", 0)]


@dataclass
class HostClock:
    now: float = 0.0


@dataclass
class Replica:
    store: PostgresqlStore
    name: str
    clock: HostClock

    async def renew(
        self, groups: Sequence[Group] = GROUPS, report: Report = NOTHING_REPORTED
    ) -> Lease:
        member = Member(name=self.name, version="1", started_at=7.0)
        return await self.store.renew(member, groups, lag=0.5, report=report)

    async def owned(self) -> list[Slice]:
        return [grant.slice for grant in (await self.renew()).grants]


class Fleet:
    """Replicas of one database, and an operator who changes its rows."""

    def __init__(self, url: str, resources: AsyncExitStack) -> None:
        self._url = url
        self._resources = resources

    async def start(self, name: str) -> Replica:
        clock = HostClock()
        store = await self._resources.enter_async_context(
            postgresql.create(self._url, boot=lambda: clock.now)
        )
        return Replica(store, name, clock)

    async def execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self._url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    @asynccontextmanager
    async def locked(self, table: str) -> AsyncIterator[None]:
        """Let every statement that needs `table` wait within."""
        connection = await asyncpg.connect(self._url)
        try:
            await connection.execute(f"BEGIN; LOCK TABLE {table}")
            yield
        finally:
            await connection.close()

    async def expire(self, name: str) -> None:
        """Let the lease of a replica pass, as the database sees it."""
        await self.execute(
            f"UPDATE sessions SET expires_at = clock_timestamp() WHERE name = '{name}'"
        )


@pytest.fixture
async def fleet(postgresql_server: Server) -> AsyncIterator[Fleet]:
    async with AsyncExitStack() as resources:
        yield Fleet(await postgresql_server.new_store(), resources)


async def store_nothing(connection: Connection) -> str:
    return "stored"


async def test_the_first_replica_owns_everything_and_gives_a_part_to_the_second(
    fleet: Fleet,
) -> None:
    first, second = await fleet.start("first"), await fleet.start("second")
    assert isinstance(first.store, Ownership)
    assert await first.owned() == SLICES
    assert await second.owned() == []
    await first.renew()
    given = []
    for _ in range(5):
        first.clock.now = second.clock.now = first.clock.now + CALM
        if (surplus := (await first.renew()).surplus) is not None:
            given.append(surplus)
            await first.store.release([surplus])
            assert surplus not in first.store.granted()
            await second.renew()
    lease = await second.renew()

    assert sorted(grant.slice for grant in lease.grants) == sorted(given)
    assert len(given) == 2
    assert [(one.name, len(one.slices), one.lag) for one in lease.replicas] == [
        ("first", 3, 0.5),
        ("second", 2, 0.5),
    ]
    assert [one.name for one in await first.store.replicas()] == ["first", "second"]
    assert (await second.store.replicas())[1].slices == tuple(sorted(given))
    assert lease.surplus is None
    assert lease.unowned == ()


async def test_no_slice_moves_while_a_replica_is_silent_that_may_have_died(fleet: Fleet) -> None:
    first, second = await fleet.start("first"), await fleet.start("second")
    for replica in (first, second, first):
        await replica.renew()
    first.clock.now = CALM
    await fleet.execute(
        f"UPDATE sessions SET renewed_at = renewed_at - interval '{HEALTHY_FOR} seconds'"
        " WHERE name = 'second'"
    )
    assert (await first.renew()).surplus is None
    await second.renew()
    assert (await first.renew()).surplus is not None


async def test_a_replica_that_stops_keeps_what_it_has_and_gets_nothing(fleet: Fleet) -> None:
    first, second = await fleet.start("first"), await fleet.start("second")
    await first.renew()
    stopping = [replace(group, wanted=False) for group in GROUPS]
    await second.renew(stopping)
    first.clock.now = second.clock.now = CALM
    assert (await first.renew()).surplus is None
    await first.store.release([SLICES[0]])
    second.clock.now += LEFT_FREE
    assert (await second.renew(stopping)).grants == ()

    assert len((await second.renew()).grants) == 1
    second.clock.now += 60.0  # the watches of a source are counted again
    lease = await second.renew(stopping)
    assert [grant.of for grant in lease.grants] == [4]
    second.clock.now += CALM
    assert (await second.renew(stopping)).surplus is None


async def test_replicas_that_start_together_share_a_source_with_many_watches_from_the_beginning(
    fleet: Fleet,
) -> None:
    groups = [Group(name="source a", slices=4), Group(name="channel b", slices=4)]
    first, second = await fleet.start("first"), await fleet.start("second")

    async def owned(replica: Replica, group: str) -> int:
        grants = (await replica.renew(groups)).grants
        return sum(grant.slice.group == group for grant in grants)

    assert [await owned(first, one) for one in ("channel b", "source a")] == [4, 0]
    assert await owned(second, "source a") == 0
    first.clock.now = second.clock.now = GATHERING
    assert [await owned(one, "source a") for one in (first, second)] == [2, 2]
    await fleet.expire("first")
    first.clock.now = second.clock.now = GATHERING * 2
    assert await owned(first, "source a") == 2, "a new session of a replica that has run before"


async def test_an_expired_session_loses_its_slices_and_returns_as_another(fleet: Fleet) -> None:
    first, second = await fleet.start("first"), await fleet.start("second")
    before = {grant.slice: grant.epoch for grant in (await first.renew()).grants}
    await fleet.expire("first")
    assert await second.owned() == SLICES

    assert len(first.store.granted()) == 5  # it does not know yet
    assert (await first.renew()).grants == ()
    await second.store.leave()
    after = {grant.slice: grant.epoch for grant in (await first.renew()).grants}
    assert all(after[owned] >= before[owned] + 2 for owned in SLICES)


async def test_a_slice_is_only_served_where_it_is_configured(fleet: Fleet) -> None:
    first, second = await fleet.start("first"), await fleet.start("second")
    lease = await first.renew(GROUPS[:1])
    assert [grant.slice.group for grant in lease.grants] == ["source a"]
    lease = await second.renew(GROUPS[1:])
    assert {grant.slice.group for grant in lease.grants} == {"channel b"}

    await first.renew(GROUPS[1:])
    assert first.store.granted() == {}
    assert len((await second.renew(GROUPS)).grants) == 5


async def test_nothing_is_granted_after_seven_seconds_without_a_renewal(fleet: Fleet) -> None:
    replica = await fleet.start("first")
    await replica.renew()
    replica.clock.now = 6.9
    assert len(replica.store.granted()) == 5
    replica.clock.now = 7.0
    assert replica.store.granted() == {}
    assert await replica.owned() == SLICES


async def test_what_a_replica_writes_for_a_slice_of_another_one_is_not_stored(
    fleet: Fleet,
) -> None:
    first, second = await fleet.start("first"), await fleet.start("second")
    database = first.store._database
    assert database.fence.grants("source a", ["task"]) == ()  # no fleet yet
    await first.renew()
    stale = database.fence.grants("source a", ["task"])
    of_channel = database.fence.grants("channel b")
    assert await database.write(store_nothing, stale) == "stored"
    await fleet.expire("first")
    await second.renew([GROUPS[0]])

    with pytest.raises(NotOwnerError, match="source a"):
        await database.write(store_nothing, stale)
    assert Slice("source a", 0) not in first.store.granted()
    with pytest.raises(NotOwnerError):
        database.fence.grants("source a", ["task"])
    assert await database.write(store_nothing, of_channel) == "stored"
    assert first.store.fenced() == 2


async def test_a_claim_does_not_wait_for_a_transaction_of_the_former_owner(fleet: Fleet) -> None:
    first, second = await fleet.start("first"), await fleet.start("second")
    await first.renew()
    database = first.store._database
    grants = database.fence.grants("channel b")

    async def stopped_for_long(connection: Connection) -> None:
        await fleet.expire("first")
        owned = await second.owned()
        assert [held.group for held in owned] == ["source a"]

    await database.write(stopped_for_long, grants)
    second.clock.now = 2.0
    assert await second.owned() == SLICES


async def test_a_group_that_is_divided_further_changes_all_its_epochs(fleet: Fleet) -> None:
    first, second = await fleet.start("first"), await fleet.start("second")
    before = await first.renew()
    await fleet.execute(
        "INSERT INTO watches (source, task_id, slot, added_at)"
        " SELECT 'a', 't' || n, n % 256, 1 FROM generate_series(1, 10001) AS n"
    )
    first.clock.now = 61.0
    lease = await first.renew()
    of_source = [grant for grant in lease.grants if grant.slice.group == "source a"]
    assert [(grant.slice.number, grant.of) for grant in of_source] == [(0, 2), (1, 2)]
    assert of_source[0].epoch > before.grants[-1].epoch

    more = Group(name="channel b", slices=8)
    assert len((await second.renew([more])).grants) in range(9)
    second.clock.now = first.clock.now = 64.0
    owned = [*(await first.renew()).grants, *(await second.renew([more])).grants]
    assert sum(grant.slice.group == "channel b" for grant in owned) == 8


async def test_signals_of_other_replicas_are_read_once_in_order(fleet: Fleet) -> None:
    first, second = await fleet.start("first"), await fleet.start("second")
    await first.renew()
    await second.renew()
    start = await first.store.signals(None)
    database = second.store._database

    async def store(connection: Connection) -> None:
        await store_signal(database, connection, "source a", ["one", "t\0wo"])
        await store_signal(database, connection, "channel b")

    await database.write(store)
    found = await first.store.signals(start.last)
    assert [(one.group, one.task_ids) for one in found.signals] == [
        ("source a", ("one", "t\N{REPLACEMENT CHARACTER}wo")),
        ("channel b", ()),
    ]
    assert (await first.store.signals(found.last)).signals == ()
    own = await second.store.signals(start.last)
    assert (own.signals, own.last) == ((), found.last)
    assert (await first.store.signals(None)).signals == ()

    await fleet.execute("UPDATE signals SET at = at - interval '601 seconds'")
    await first.store.prune(0.0)
    assert [one.group for one in (await first.store.signals(start.last)).signals] == ["channel b"]
    assert (await first.store.signals(None)).last == found.last


async def test_a_replica_is_woken_by_what_another_one_has_stored(
    fleet: Fleet, postgresql_server: Server
) -> None:
    if postgresql_server.entrance is not None:
        pytest.skip("a pooler in transaction mode has no LISTEN")
    first, second = await fleet.start("first"), await fleet.start("second")
    await first.renew()
    await second.renew()
    seen, own, moved = Wakeup(), Wakeup(), Wakeup()
    database = second.store._database

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first.store.follow, seen.set, moved.set)
        tasks.start_soon(second.store.follow, own.set, moved.set)
        await seen.wait(0)  # both listen
        await own.wait(0)
        before = seen.generation
        await database.write(lambda connection: store_signal(database, connection, "source a"))
        with anyio.fail_after(30):
            await seen.wait(before)
            assert own.generation == 1
            assert moved.generation == 0
            await fleet.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE query LIKE 'LISTEN%' OR query LIKE 'NOTIFY%'"
            )
            await seen.wait(seen.generation)  # it listens again
        tasks.cancel_scope.cancel()


async def test_a_replica_is_woken_when_another_one_joins_gives_up_claims_and_leaves(
    fleet: Fleet,
) -> None:
    first, second = await fleet.start("first"), await fleet.start("second")
    seen, own, ready = Wakeup(), Wakeup(), Wakeup()
    await first.renew()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first.store.follow, ready.set, seen.set)
        tasks.start_soon(second.store.follow, ready.set, own.set)
        await ready.wait(0)
        await ready.wait(1)  # both listen

        async def wakes(woken: Wakeup, action: Awaitable[object]) -> None:
            before = woken.generation
            await action
            with anyio.fail_after(30):
                await woken.wait(before)

        await wakes(seen, second.renew())
        first.clock.now = CALM
        before = seen.generation
        await wakes(own, first.store.release([SLICES[0]]))
        await wakes(seen, second.renew())
        await wakes(seen, second.store.release([SLICES[0]]))
        await wakes(seen, second.store.leave())
        assert seen.generation == before + 3, "a replica is not woken by what it does itself"
        tasks.cancel_scope.cancel()


async def test_each_replica_reads_what_the_others_report(fleet: Fleet) -> None:
    first, second = await fleet.start("first"), await fleet.start("second")
    source = SourceReport(name="a", reason="\0", active=((None, 2), ("QUEUED", 3)))
    channel = ChannelState(name="b", type="webhook", state="failing", since=1.5)
    report = Report(sources=(source,), channels=(channel,))
    await first.renew(report=report)
    await second.renew()

    for replica in (first, second):
        found = {one.name: one.report for one in await replica.store.replicas()}
        assert found == {"first": report, "second": Report()}

    await fleet.execute("""UPDATE sessions SET report = '{"sources": 1}'""")
    assert [one.report for one in await second.store.replicas()] == [Report(), Report()]


async def test_a_renewal_that_gets_no_response_fails_before_its_session_ends(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ownership.TIMEOUT + RENEW_INTERVAL < TRUSTED_FOR
    replica = await fleet.start("first")
    await replica.renew()
    async with fleet.locked("sessions"):
        with monkeypatch.context() as patch, pytest.raises(StoreError, match="does not respond"):
            patch.setattr(ownership, "TIMEOUT", 0.05)
            await replica.renew()
    assert (await replica.renew()).grants
