"""What a replica sees and writes of the watchlist and the outbox: its own slices, nothing else."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial

import anyio
import pytest

from tests.contract.stores.harness import FOREVER, NOW
from tests.stores.postgresql.test_ownership import Fleet, Replica
from tests.support.postgresql import Server
from tests.support.records import event, request, settled, step
from watcher.core.channels import Suspension, SuspensionKind
from watcher.core.deliveries import DeliveryState, OldestPending
from watcher.core.errors import NotOwnerError
from watcher.core.events import Change, EventFilter
from watcher.core.outage import Outage
from watcher.core.ownership import TRUSTED_FOR, Group, Signal, Slice, slice_number
from watcher.core.wakeup import Wakeup

pytestmark = pytest.mark.anyio

SOURCE = Group(name="source mixpeek")
CHANNEL = Group(name="channel backend", slices=2)
TASKS = [f"task_{number}" for number in range(20)]


@pytest.fixture
async def replicas(postgresql_server: Server) -> AsyncIterator[tuple[Replica, Replica]]:
    """Two replicas; the first serves the source and a half of the channel, the second the other."""
    async with AsyncExitStack() as resources:
        fleet = Fleet(await postgresql_server.new_store(), resources)
        first, second = await fleet.start("first"), await fleet.start("second")
        await first.renew([SOURCE, CHANNEL])
        await first.store.release([Slice("channel backend", 1)])
        await second.renew([CHANNEL])
        await first.renew([SOURCE, CHANNEL])
        assert set(second.store.granted()) == {Slice("channel backend", 1)}
        yield first, second


async def changes_of(replica: Replica) -> list[Change]:
    added = await replica.store.add([request(task_id) for task_id in TASKS], NOW)
    return [step(watch, "IN_PROGRESS") for watch in added.watches]


async def due_of(replica: Replica) -> set[int]:
    return {one.id for one in await replica.store.due("backend", FOREVER, 100)}


async def test_each_delivery_is_due_at_one_replica(replicas: tuple[Replica, Replica]) -> None:
    first, second = replicas
    await first.store.record(await changes_of(first))

    assert await due_of(first) | await due_of(second) == set(range(1, 21))
    assert await due_of(first) & await due_of(second) == set()
    assert await due_of(first) != set() != await due_of(second)
    for one in replicas:
        probes = await one.store.due_for_probe("backend", 100)
        assert {delivery.id for delivery in probes} == await due_of(one)
        assert await one.store.next_due_at("backend", 0.0) == 100.0


async def test_a_replica_settles_what_it_owns_alone(replicas: tuple[Replica, Replica]) -> None:
    first, second = replicas
    await first.store.record(await changes_of(first))
    others = await due_of(second)

    await first.store.settle([settled(one, DeliveryState.DELIVERED) for one in range(1, 21)])

    assert await due_of(first) == set()
    assert await due_of(second) == others
    for one in others:
        found = await second.store.delivery(one)
        assert found is not None
        assert (found[0].attempts, found[1]) == (0, [])


async def test_results_for_what_others_own_are_counted(replicas: tuple[Replica, Replica]) -> None:
    first, second = replicas
    await first.store.record(await changes_of(first))
    own, others = await due_of(first), await due_of(second)
    ended = others.pop()
    await second.store.settle([settled(ended, DeliveryState.DELIVERED)])

    removed = 1000
    for one in (*own, removed):
        await first.store.settle([settled(one, DeliveryState.DELIVERED)])
    assert first.store.fenced() == 0
    await first.store.settle([settled(one, DeliveryState.DELIVERED) for one in others])
    assert first.store.fenced() == len(others)
    await first.store.settle([settled(ended, DeliveryState.DELIVERED)])
    assert first.store.fenced() == len(others) + 1
    assert second.store.fenced() == 0


async def test_making_due_and_bypassing_spare_what_others_own(
    replicas: tuple[Replica, Replica],
) -> None:
    first, second = replicas
    await first.store.record(await changes_of(first))
    for one in replicas:
        results = [
            settled(each, DeliveryState.PENDING, next_attempt_at=9000.0, unblocks_at=500.0)
            for each in await due_of(one)
        ]
        await one.store.settle(results)
    mine, others = await due_of(first), await due_of(second)

    assert await first.store.make_due("backend", FOREVER, 200.0, in_order=True) == len(mine)
    assert await second.store.due("backend", 200.0, 100) == []
    assert await second.store.unblock_expired("backend", 600.0) == len(others)
    assert await first.store.unblock_expired("backend", 600.0) == 0


async def test_only_the_owner_of_a_source_records(replicas: tuple[Replica, Replica]) -> None:
    first, second = replicas
    changes = await changes_of(second)
    with pytest.raises(NotOwnerError, match="source mixpeek"):
        await second.store.record(changes)
    assert await first.store.record(changes) == [True] * 20
    stalled = [len(part) async for part in second.store.unchanged_watches("mixpeek", FOREVER)]
    assert sum(stalled) == 0


async def test_an_outage_that_several_replicas_see_is_announced_once(
    replicas: tuple[Replica, Replica],
) -> None:
    outage = Outage(subject="channel backend", since=1.0, alerted_at=2.0)
    announced = list[bool]()
    for number, one in enumerate(replicas):
        began = event(number, key=None, order_key="channel backend")
        announced.append(await one.store.record_outage(began, outage))
    for number, one in enumerate(replicas, 2):
        ended = event(number, key=None, order_key="channel backend")
        announced.append(await one.store.record_outage(ended, None, recovered="channel backend"))

    assert announced == [True, False, True, False]
    stored = await replicas[0].store.events_after(0, 10)
    assert [one.event_id for one in stored] == ["msg_notice_0", "msg_notice_2"]
    assert await replicas[1].store.outage("channel backend") is None


async def test_an_announced_outage_stays_announced_until_its_end_is_announced(
    replicas: tuple[Replica, Replica],
) -> None:
    first, second = (one.store for one in replicas)
    about = partial(event, key=None, order_key="channel backend")
    announced = Outage(subject="channel backend", since=5.0, alerted_at=9.0)
    seen = Outage(subject="channel backend", since=3.0)
    await first.record_outage(about(1), announced)
    last = (await second.signals(None)).last
    await second.record_outage(None, seen)
    assert await first.outage("channel backend") == replace(announced, since=3.0)
    await second.record_outage(about(2), replace(seen, alerted_at=99.0))
    await second.record_outage(None, None, recovered="channel backend")
    assert await first.outage("channel backend") == replace(announced, since=3.0)
    assert (await second.signals(last)).signals == ()

    await first.record_outage(about(3), None, recovered="channel backend")
    assert await first.outage("channel backend") is None
    await second.record_outage(None, seen)
    await first.record_outage(about(4), None, recovered="channel backend")  # as of the one before
    assert await first.outage("channel backend") is None
    stored = await first.events_after(0, 10)
    assert [one.event_id for one in stored] == ["msg_notice_1", "msg_notice_3"]
    assert (await second.signals(last)).signals == (Signal(group="channel backend"),)


async def test_a_channel_that_several_replicas_stop_is_announced_as_stopped_once(
    replicas: tuple[Replica, Replica],
) -> None:
    outage = Outage(subject="channel backend", since=1.0, alerted_at=2.0)
    stopped = Suspension(channel="backend", kind=SuspensionKind.STOPPED, reason="410", since=NOW)
    announced = [
        await one.store.suspend(stopped, event(number, key=None), outage)
        for number, one in enumerate(replicas)
    ]
    assert announced == [True, False]
    stored = await replicas[0].store.events_after(0, 10)
    assert [one.event_id for one in stored] == ["msg_notice_0"]


async def test_the_owner_learns_what_another_replica_has_changed(
    replicas: tuple[Replica, Replica],
) -> None:
    first, second = replicas
    last = (await first.store.signals(None)).last
    await second.store.add([request("task_1"), request("task_2")], NOW)
    await second.store.remove(request("task_1").key)
    paused = Suspension(channel="backend", kind=SuspensionKind.PAUSED, reason="test", since=NOW)
    await second.store.suspend(paused, None, None)
    await second.store.lift_suspension("backend")
    await second.store.replay("backend", EventFilter(since=0.0), NOW)
    await second.store.retry_failed("backend", None, NOW)
    await second.store.purge("backend", DeliveryState.PENDING, NOW)
    await second.store.add([request("task_2", team="a")], NOW)
    await second.store.add([replace(request("task_2"), again=True)], NOW)

    added, *others = (await first.store.signals(last)).signals
    assert (added.group, set(added.task_ids)) == ("source mixpeek", {"task_1", "task_2"})
    channel = Signal(group="channel backend")
    assert others == [
        Signal(group="source mixpeek", task_ids=("task_1",)),
        channel,
        replace(channel, attempt=True),
        channel,
        replace(channel, attempt=True),
        channel,
        Signal(group="source mixpeek", task_ids=("task_2",)),
    ]
    assert (await second.store.signals(last)).signals == ()


async def test_the_owner_finds_at_once_what_is_due_behind_a_purged_delivery(
    replicas: tuple[Replica, Replica],
) -> None:
    first, second = replicas
    changes = await changes_of(first)
    await first.store.record(changes)
    await first.store.record([step(one.watch, "QUEUED", at=200.0) for one in changes])
    mine = [delivery.id for delivery in await first.store.due_for_probe("backend", 100)]
    later = [settled(one, DeliveryState.PENDING, next_attempt_at=9000.0) for one in mine]
    await first.store.settle(later)
    assert await first.store.due("backend", 8000.0, 100) == []
    last = (await first.store.signals(None)).last

    assert await second.store.purge("backend", DeliveryState.PENDING, 150.0) == len(TASKS)
    await first.store.signals(last)
    assert len(await first.store.due("backend", 8000.0, 100)) == len(mine)


async def test_other_replicas_get_one_hint_for_each_transaction_that_stores_deliveries_of_theirs(
    replicas: tuple[Replica, Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = replicas[0]
    given = list[str]()
    monkeypatch.setattr(first.store._database.hints, "give", lambda: given.append("hint"))
    changes = await changes_of(first)
    given.clear()  # of signals
    own = [one for one in changes if one.event and slice_number(one.event.order_key, 2) == 0]
    others = [one for one in changes if one not in own]
    about = partial(event, key=None, order_key="channel other")
    assert slice_number("channel other", 2) == 1

    await first.store.record(own)
    assert given == []
    await first.store.record(others)
    assert given == ["hint"]
    outage = Outage(subject="source other", since=1.0, alerted_at=2.0)
    await first.store.record_outage(about(1, channels=()), outage)
    assert given == ["hint"]
    await first.store.record_outage(about(2), None, recovered="source other")
    assert given == ["hint"] * 2
    stopped = Suspension(channel="other", kind=SuspensionKind.STOPPED, reason="410", since=NOW)
    await first.store.suspend(stopped, about(3), None)
    oldest = OldestPending(channel="other", count=1, last_event=0, first_at=0.0, last_at=0.0)
    await first.store.fail_oldest(oldest, "full", about(4))
    assert given == ["hint"] * 4
    first.clock.now = TRUSTED_FOR
    await first.store.record_outage(event(5, key=None, order_key="channel backend"), outage)
    assert given == ["hint"] * 5, "nothing is its own any more"


async def test_the_owner_of_a_delivery_is_woken_when_it_is_recorded(
    replicas: tuple[Replica, Replica],
) -> None:
    first, second = replicas
    changes = await changes_of(first)
    seen, own = Wakeup(), Wakeup()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(second.store.follow, seen.set, lambda: None)
        tasks.start_soon(first.store.follow, own.set, lambda: None)
        await seen.wait(0)  # both listen
        await own.wait(0)
        before = seen.generation
        with anyio.fail_after(30):
            await first.store.record(changes)
            await seen.wait(before)
        assert await due_of(second)
        tasks.cancel_scope.cancel()


async def test_the_version_is_of_what_pages_show_and_of_all_replicas(
    replicas: tuple[Replica, Replica],
) -> None:
    first, second = replicas
    groups = [CHANNEL]
    version = await first.store.version()
    await second.renew(groups)
    await second.store.ping()
    await second.store.take_requests("mixpeek GET", 1.0, 1.0, 1)
    await first.renew([SOURCE, CHANNEL])
    assert await first.store.version() == version

    changes = await changes_of(second)
    assert (added := await first.store.version()) != version
    await second.renew(groups)
    assert await first.store.version() == added
    await first.store.record(changes)
    assert (recorded := await second.store.version()) != added
    one = min(await due_of(second))
    await second.store.settle([settled(one, DeliveryState.DELIVERED)])
    assert (settled_here := await second.store.version()) != recorded
    assert await second.store.version() == settled_here
    before = await first.store.version()
    await second.renew(groups)
    assert await first.store.version() != before
