"""Replicas that renew, claim and write against a model of the database, by seed: crashes, pauses
longer than the lease, lost commits, statements that run after their caller gave up, partitions,
hints that get lost.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from random import Random

import anyio
import anyio.abc

from tests.simulation.loop import SimulationLoop
from watcher.core.errors import StoreError
from watcher.core.ownership import RENEW_INTERVAL, SESSION_LASTS, Grant, Group, Member, Slice
from watcher.core.ownership import Replica as Shown
from watcher.core.sessions import LocalSession, Rows, SessionRow, SliceRow
from watcher.core.wakeup import Wakeup
from watcher.stores._ownership import Renewals

FAULTS_UNTIL = 60.0
ENDS_AT = 160.0
LAST_CHANGES = 20.0
"""Seconds before the end in which nothing may change hands."""
LONGEST_FREE = 15.0
MOST_REPLICAS = 4
SHARED_WITHIN = {1.0: 10.0, 0.0: 30.0}
"""Seconds after which another replica has its share where all hints arrive, and where none does."""
GROUPS = (
    Group(name="source a"),
    Group(name="source b", slices=3),
    Group(name="channel c", slices=4),
    Group(name="channel d", slices=1),
)


@dataclass
class StoredSession:
    expires_at: float
    groups: Mapping[str, int | None]


class Model:
    """The database: one clock, and each statement at one moment. `notify` is called with the
    session that has changed who is there or who owns what.
    """

    def __init__(self, problems: list[str], notify: Callable[[int], None]) -> None:
        self.problems = problems
        self._notify = notify
        self.given: Counter[Slice] = Counter()
        self.sessions: dict[int, StoredSession] = {}
        self.divided: dict[str, int] = {}
        self.owners: dict[Slice, int | None] = {}
        self.epochs: dict[Slice, int] = {}
        self.owner_of_epoch: dict[tuple[Slice, int], int] = {}
        self.changed_at = 0.0
        self.stored: Counter[Slice] = Counter()
        self._last_session = 0

    def live(self, session: int | None) -> bool:
        found = None if session is None else self.sessions.get(session)
        return found is not None and found.expires_at > anyio.current_time()

    def begin(self) -> int:
        self._last_session += 1
        self.sessions[self._last_session] = StoredSession(anyio.current_time() + SESSION_LASTS, {})
        self._notify(self._last_session)
        return self._last_session

    def renew(self, session: int, groups: Mapping[str, int | None]) -> Rows | None:
        if not self.live(session):
            return None
        self.sessions[session] = StoredSession(anyio.current_time() + SESSION_LASTS, groups)
        sessions = [
            SessionRow(session=number, replica=_shown(stored), groups=stored.groups)
            for number, stored in self.sessions.items()
            if self.live(number)
        ]
        slices = [
            SliceRow(grant=Grant(owned, self.epochs[owned], self.divided[owned.group]), owner=owner)
            for owned, owner in self.owners.items()
        ]
        return Rows(sessions=sessions, slices=slices)

    def divide(self, slices: Mapping[str, int]) -> None:
        for group, count in slices.items():
            if self.divided.get(group) != count:
                self.divided[group] = count
                for number in range(count):
                    self.owners[Slice(group, number)] = None
                    self.epochs.setdefault(Slice(group, number), 0)

    def claim(self, session: int, slices: Collection[Slice]) -> None:
        for free in slices:
            if self.live(session) and not self.live(self.owners[free]):
                self.owners[free] = session
                self.epochs[free] += 1
                self.owner_of_epoch[free, self.epochs[free]] = session
                self.changed_at = anyio.current_time()
                self._notify(session)

    def release(self, session: int, slices: Collection[Slice]) -> None:
        for given in slices:
            if self.owners[given] == session:
                self.owners[given] = None
                self.given[given] += 1
                self._notify(session)

    def end(self, session: int) -> None:
        self.sessions.pop(session, None)
        self._notify(session)

    def write(self, session: int, grant: Grant, expected: int, value: int) -> bool:
        """Store a transition behind the fence; return whether it applied."""
        owned = grant.slice
        if self.owners[owned] != session or self.epochs[owned] != grant.epoch:
            raise StoreError("not the owner")
        if self.owner_of_epoch[owned, grant.epoch] != session:
            self.problems.append(f"{owned}: two owners in epoch {grant.epoch}")
        if self.stored[owned] != expected:
            return False
        self.stored[owned] = value
        return True


def _shown(stored: StoredSession) -> Shown:
    renewed = anyio.current_time() - (stored.expires_at - SESSION_LASTS)
    return Shown(name="", version="", started_at=0, lag=0, renewed=renewed, slices=())


class Replica:
    """One process. Its clock runs a little faster or slower, and on while it is stopped."""

    def __init__(self, world: "World", number: int) -> None:
        random = self._random = Random(world.random.getrandbits(64))
        rate, offset = 1 + random.uniform(-0.02, 0.02), random.uniform(0, 1e6)
        self._world, self._model = world, world.model
        self._name = f"replica {number}"
        self.stopped_until = self.cut_until = self.healthy_since = 0.0
        self.local = LocalSession(lambda: offset + rate * anyio.current_time())
        self._renewals = Renewals(self, self.local, lambda: offset + rate * anyio.current_time())
        self.scope = anyio.CancelScope()
        self.moved = Wakeup()

    async def run(self) -> None:
        self.healthy_since = anyio.current_time()
        with self.scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._keep_session)
                tasks.start_soon(self._serve)

    async def leave(self) -> None:
        self.scope.cancel()
        try:
            await self._renewals.leave()
        except StoreError:
            return

    async def _sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)
        if (rest := self.stopped_until - anyio.current_time()) > 0:
            await self._sleep(rest)

    async def _keep_session(self) -> None:
        member = Member(name=self._name, version="1", started_at=0)
        while True:
            began, generation = anyio.current_time(), self.moved.generation
            try:
                lease = await self._renewals.renew(member, GROUPS, 0)
                if lease.surplus is not None:
                    await self._sleep(self._random.uniform(0, 1))  # attempts in flight end
                    await self._renewals.release([lease.surplus])
            except StoreError:
                pass
            with anyio.move_on_after(began + RENEW_INTERVAL - anyio.current_time()):
                await self.moved.wait(generation)
            await self._sleep(0)

    async def _serve(self) -> None:
        while True:
            await self._sleep(self._random.uniform(0.5, 1.5))
            for grant in list(self.local.granted().values()):
                if self.local.granted().get(grant.slice) == grant:
                    await self._poll(grant)

    async def _poll(self, grant: Grant) -> None:
        """Poll upstream and store what has changed."""
        owner, session = self._model.owners[grant.slice], self.local.session or 0
        if owner != session and self._model.live(owner):
            self._model.problems.append(f"{grant.slice}: {session} and {owner} serve it")
        stored, seen = self._model.stored[grant.slice], self._world.upstream(grant.slice)
        if stored < seen:
            try:
                await self._call(lambda: self._model.write(session, grant, stored, seen))
            except StoreError:
                return

    # The connection to the database

    async def _call(self, statement: Callable[[], object]) -> object:
        random, now = self._random, anyio.current_time
        faulty = now() < self._world.faults_until and random.random() < 0.03
        if now() < self.cut_until or faulty:
            if random.random() < 0.5:  # it runs, perhaps long after its caller gave up
                self._world.later(random.uniform(0, 6), statement)
            self.healthy_since = max(self.healthy_since, now() + 3)
            await self._sleep(3)
            raise StoreError("no response")
        await self._sleep(random.uniform(0.0005, 0.05))
        result = statement()
        await self._sleep(random.uniform(0.0005, 0.05))
        return result

    async def begin(self, member: Member) -> int:
        found = await self._call(self._model.begin)
        return found if isinstance(found, int) else 0

    async def renew(
        self, session: int, groups: Mapping[str, int | None], lag: float
    ) -> Rows | None:
        found = await self._call(lambda: self._model.renew(session, groups))
        return found if isinstance(found, Rows) else None

    async def divide(self, slices: Mapping[str, int]) -> None:
        await self._call(lambda: self._model.divide(slices))

    async def claim(self, session: int, slices: Collection[Slice]) -> None:
        await self._call(lambda: self._model.claim(session, slices))

    async def release(self, session: int, slices: Collection[Slice]) -> None:
        await self._call(lambda: self._model.release(session, list(slices)))

    async def end(self, session: int) -> None:
        await self._call(lambda: self._model.end(session))

    async def count_active(self, source: str, most: int) -> int:
        return 15_000


class World:
    """The replicas of one seed, what happens to them, and the checks. `hints` is the part of the
    hints that arrives.
    """

    def __init__(self, seed: int, *, faults_until: float, hints: float) -> None:
        self.random = Random(seed)
        self.faults_until = faults_until
        self._hints = hints
        self.problems: list[str] = []
        self.model = Model(self.problems, self._notify)
        self.replicas: list[Replica] = []
        self._phase = self.random.random()
        self._started = 0
        self._free_since: dict[Slice, float] = {}
        self.tasks: anyio.abc.TaskGroup

    def upstream(self, owned: Slice) -> int:
        """Return how often the task of a slice has changed by now."""
        return int(anyio.current_time() / 3 + owned.number / 10 + self._phase)

    def _notify(self, session: int) -> None:
        """Give a hint to all replicas but the one of this session."""
        for replica in self.replicas:
            cut = replica.cut_until > anyio.current_time() or self.random.random() >= self._hints
            if replica.local.session not in (None, session) and not cut:
                self.later(self.random.uniform(0.001, 0.02), replica.moved.set)

    def later(self, seconds: float, statement: Callable[[], object]) -> None:
        async def run() -> None:
            await anyio.sleep(seconds)
            try:
                statement()
            except StoreError:
                return

        self.tasks.start_soon(run)

    async def run(self) -> None:
        async with anyio.create_task_group() as self.tasks:
            for _ in range(self.random.randint(1, 4)):
                self._start()
            self.tasks.start_soon(self._act)
            while anyio.current_time() < ENDS_AT:
                await anyio.sleep(0.5)
                self._check()
            self.tasks.cancel_scope.cancel()
        self._check_end()

    async def join(self) -> None:
        """Start one replica after the other; nothing else happens."""
        within = SHARED_WITHIN[self._hints]
        async with anyio.create_task_group() as self.tasks:
            for number in range(MOST_REPLICAS):
                given = self.model.given.copy()
                self._start()
                await anyio.sleep(within)
                self._check_even()
                twice = [owned for owned, times in (self.model.given - given).items() if times > 1]
                if twice:
                    self.problems.append(f"{twice} moved to and fro with replica {number + 1}")
                await anyio.sleep(self.random.uniform(0, RENEW_INTERVAL))
            self.tasks.cancel_scope.cancel()

    def _start(self) -> None:
        self._started += 1
        replica = Replica(self, self._started)
        self.replicas.append(replica)
        self.tasks.start_soon(replica.run)

    async def _act(self) -> None:
        while anyio.current_time() < FAULTS_UNTIL:
            await anyio.sleep(self.random.expovariate(1 / 6))
            replica = self.random.choice(self.replicas)
            await self._fault(replica, self.random.randrange(5))

    async def _fault(self, replica: Replica, kind: int) -> None:
        until = min(anyio.current_time() + self.random.uniform(0.5, 20), FAULTS_UNTIL)
        actions: list[Callable[[], Awaitable[None] | None]] = [
            lambda: setattr(replica, "stopped_until", until),
            lambda: setattr(replica, "cut_until", until),
            self._start if len(self.replicas) < 5 else lambda: None,
            replica.scope.cancel,
            replica.leave,
        ]
        replica.healthy_since = max(replica.healthy_since, until)
        if kind >= 3:
            if len(self.replicas) == 1:
                return
            self.replicas.remove(replica)
        result = actions[kind]()
        if result is not None:
            await result

    def _check(self) -> None:
        now = anyio.current_time()
        able_since = min(replica.healthy_since for replica in self.replicas)
        for owned, owner in self.model.owners.items():
            if self.model.live(owner):
                self._free_since.pop(owned, None)
            elif now - max(self._free_since.setdefault(owned, now), able_since) > LONGEST_FREE:
                self.problems.append(f"{owned} is free since {self._free_since[owned]:.1f}")

    def _check_even(self) -> None:
        owners = self.model.owners
        total = Counter(owners.values())
        counts = [total[replica.local.session] for replica in self.replicas]
        if max(counts) - min(counts) > 1 or sum(counts) != len(owners):
            self.problems.append(f"uneven shares: {counts}")

    def _check_end(self) -> None:
        self._check_even()
        model = self.model
        if model.changed_at > ENDS_AT - LAST_CHANGES:
            self.problems.append(f"a slice moved at {model.changed_at:.1f}")
        for owned, stored in model.stored.items():
            if stored < ENDS_AT / 3 - 3:
                self.problems.append(f"{owned}: transitions after {stored} are lost")


def run_ownership_seed(seed: int) -> list[str]:
    """Return the rules that were broken."""
    world = World(seed, faults_until=FAULTS_UNTIL, hints=0.8)
    anyio.run(world.run, backend_options={"loop_factory": SimulationLoop})
    return world.problems


def run_joining_seed(seed: int, *, hints: float) -> list[str]:
    """Return the rules that were broken while replicas only joined."""
    world = World(seed, faults_until=0, hints=hints)
    anyio.run(world.join, backend_options={"loop_factory": SimulationLoop})
    return world.problems
