"""Runs one scenario: a process after another over one store, in virtual time."""

import asyncio
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.abc

from tests.delivery.ordering import operations as op
from tests.delivery.ordering.database import Database
from tests.delivery.ordering.process import Process, SwitchedDisk, current_loop
from tests.delivery.ordering.receiver import ACCEPTS, ANSWERS, Receiver
from tests.delivery.ordering.rules import ALERT_AFTER, ATTENTION, Rules
from tests.simulation.loop import SimulationLoop
from tests.support.records import SECRET
from tests.support.virtual_time import WALL_EPOCH
from watcher.channels import webhook
from watcher.core.clock import Clock
from watcher.core.deliveries import DeliveryState
from watcher.core.errors import StoreError
from watcher.core.events import EventFilter
from watcher.core.tasks import Watch

ATTEMPTS = (0.0, 5.0, 30.0, 120.0, 300.0, 1800.0)
SETTLED = 6.0
"""Virtual seconds in which each attempt in flight has ended, and its result is stored."""
STANDSTILL = 10.0
"""Virtual seconds between two looks whether the scenario makes no progress."""
MOST_FULL = 400.0
"""Seconds with a full disk at a time: more of them show nothing, and cost a failed write each."""
MOST_SECONDS = 200_000.0
"""Virtual seconds in which every scenario has ended."""
MOST_ROUNDS = 1_000_000
"""Rounds of the event loop in which every scenario has ended."""
_STATUSES = ("QUEUED", "IN_PROGRESS")


def run(operations: list[op.Operation]) -> list[str]:
    """Return the rules that were broken."""
    memory = Path("/dev/shm")  # a disk in memory, where there is one
    folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    try:
        world = World(folder / "watcher.db")
        anyio.run(world.run, operations, backend_options={"loop_factory": SimulationLoop})
        return world.problems
    finally:
        shutil.rmtree(folder)


class Endpoint:
    """One channel of a scenario: its receiver, its settings, and what has to hold of it."""

    def __init__(self, name: str, path: Path, wall: Clock) -> None:
        self.name = name
        self.database = Database(path, name)
        self.rules = Rules(self.database)
        self.receiver = CheckedReceiver(wall=wall, rules=self.rules)
        self.settings = settings_with(name, concurrency=8, order_wait=600.0)

    def starts(self, settings: webhook.Settings) -> None:
        """Note that a dispatcher starts with these settings."""
        self.rules.starts(settings.order_wait, kept=settings == self.settings)
        self.settings = settings

    def heal(self) -> None:
        """Let the receiver accept everything."""
        self.receiver.cycle, self.receiver.latency = (ACCEPTS,), 0.0
        self.receiver.rejecting.clear()
        self.rules.disk(full=False)


class World:
    """The world of one scenario."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._slip = 0.0
        self._disk = SwitchedDisk(self._committed)
        self._watches: dict[str, Watch] = {}
        self._endpoints = {name: Endpoint(name, path, self.wall) for name in op.CHANNELS}
        self._rules = [endpoint.rules for endpoint in self._endpoints.values()]
        self._process: Process

    @property
    def problems(self) -> list[str]:
        return [
            f"{name}: {problem}"
            for name, endpoint in self._endpoints.items()
            for problem in endpoint.rules.problems
        ]

    def _committed(self) -> None:
        for rules in self._rules:
            rules.order.committed()

    def wall(self) -> float:
        """The wall clock, which jumps."""
        return WALL_EPOCH + asyncio.get_running_loop().time() + self._slip

    async def run(self, operations: list[op.Operation]) -> None:
        try:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                tasks.start_soon(self._watch)
                await self._start()
                for operation in operations:
                    with suppress(StoreError):
                        await self._perform(operation)
                    if self.problems:
                        break
                else:
                    await self._heal()
                tasks.cancel_scope.cancel()
        finally:
            for endpoint in self._endpoints.values():
                endpoint.database.close()

    async def _watch(self) -> None:
        """End everything once it makes no progress."""
        while not (standstill := _standstill(current_loop())):  # noqa: ASYNC110  # sets no event
            await anyio.sleep(STANDSTILL)
        self._rules[0].broken(standstill)
        self._tasks.cancel_scope.cancel()

    async def _perform(self, operation: op.Operation) -> None:
        match operation:
            case op.Store():
                await self._store(operation)
            case op.Wait(seconds=seconds):
                await anyio.sleep(min(seconds, MOST_FULL) if self._disk.full else seconds)
                for rules in self._rules:
                    rules.check_attention()
                    rules.check_alert()
            case op.Restart() | op.Jump() | op.Disk():
                await self._change_surroundings(operation)
            case op.Respond() | op.Reject():
                self._answer(operation)
            case _:
                await self._operate(operation, self._endpoints[operation.channel])

    def _answer(self, operation: op.Respond | op.Reject) -> None:
        receiver = self._endpoints[operation.channel].receiver
        match operation:
            case op.Respond(latency=latency):
                receiver.cycle, receiver.latency = operation.cycle, latency
            case op.Reject(task=task, answer=None):
                receiver.rejecting.pop(f"task_{task}", None)
            case op.Reject(task=task, answer=str() as answer):
                receiver.rejecting[f"task_{task}"] = ANSWERS[answer]

    async def _operate(self, operation: op.Operator, endpoint: Endpoint) -> None:
        dispatcher, rules = self._process.dispatcher(operation.channel), endpoint.rules
        match operation:
            case op.Pause():
                await dispatcher.pause("maintenance")
                rules.silenced("paused")
            case op.Resume():
                await dispatcher.resume()
                rules.silenced(None)
                rules.demanded()
            case op.RetryAll():
                rules.demanded()
                dispatcher.attempt_all()
            case op.RetryOne():
                await self._retry_one(operation, endpoint)
            case op.Purge(state=state):
                store = self._process.harness.store
                await store.purge(endpoint.name, DeliveryState(state), self.wall() + 1.0)
                rules.acted()
            case op.Replay():
                await self._replay(operation, endpoint)
            case op.Reload():
                await self._reload(operation, endpoint)

    async def _change_surroundings(self, operation: op.Restart | op.Jump | op.Disk) -> None:
        match operation:
            case op.Restart():
                await self._restart(operation)
            case op.Jump(seconds=seconds):
                self._slip += seconds
                for rules in self._rules:
                    rules.jumped(seconds)
            case op.Disk(full=full):
                self._disk.full = full
                for rules in self._rules:
                    rules.disk(full=full)

    async def _store(self, operation: op.Store) -> None:
        for _ in range(operation.count):
            for task in operation.tasks:
                name = f"task_{task}"
                watch = self._watches.get(name)
                sequence = 1 if watch is None else watch.sequence + 1
                # Before it is stored: its first attempt may be made before it is returned.
                for rules in self._rules:
                    rules.stored(name, f"msg_{name}_{sequence}")
                try:
                    await self._process.harness.store_event(
                        name, _STATUSES[sequence % 2], *op.CHANNELS, size=operation.size
                    )
                except StoreError:
                    for rules in self._rules:
                        rules.order.not_stored(name)
                    raise

    async def _retry_one(self, operation: op.RetryOne, endpoint: Endpoint) -> None:
        store, rules = self._process.harness.store, endpoint.rules
        state = DeliveryState(operation.state)
        page, _ = await store.list_deliveries(state, endpoint.name, 1000, None)
        if not page:
            return
        delivery = [*reversed(page)][operation.position % len(page)]
        if state is DeliveryState.FAILED:
            rules.order.sent[delivery.event_id].retried = True
        await store.retry(delivery.id, self.wall())
        self._process.dispatcher(endpoint.name).attempt_all()
        rules.demanded()

    async def _replay(self, operation: op.Replay, endpoint: Endpoint) -> None:
        now = self.wall()
        tasks = () if operation.task is None else (f"task_{operation.task}",)
        selected = EventFilter(since=now - operation.seconds, task_ids=tasks)
        endpoint.rules.order.replay_begins()
        try:
            await self._process.harness.store.replay(endpoint.name, selected, now)
        finally:
            endpoint.rules.replayed()
        self._process.harness.outbox.set()

    async def _reload(self, operation: op.Reload, endpoint: Endpoint) -> None:
        settings = settings_with(
            endpoint.name, concurrency=operation.concurrency, order_wait=operation.order_wait
        )
        if settings == endpoint.settings:
            return
        endpoint.rules.closing = True
        await self._process.running(endpoint.name).stop()
        endpoint.starts(settings)
        self._process.start(settings)

    async def _restart(self, operation: op.Restart) -> None:
        if operation.awaits is None:
            for rules in self._rules:
                rules.closing = True
            await self._process.stop()
        else:
            await self._process.killed_after(operation.awaits)
        for name, endpoint in self._endpoints.items():
            endpoint.starts(
                settings_with(
                    name, concurrency=operation.concurrency, order_wait=operation.order_wait
                )
            )
        await self._start()

    async def _start(self) -> None:
        receivers = {name: endpoint.receiver for name, endpoint in self._endpoints.items()}
        settings = [endpoint.settings for endpoint in self._endpoints.values()]
        self._process = Process(self._path, self._disk, receivers, self._watches, self.wall)
        full, self._disk.full = self._disk.full, False  # a store on a full disk may not open
        await self._tasks.start(self._process.run, settings)
        self._disk.full = full

    async def _heal(self) -> None:
        """Let the receivers accept everything, and wait for as long as that may take."""
        self._disk.full = False
        for endpoint in self._endpoints.values():
            endpoint.heal()
        await anyio.sleep(SETTLED)  # what was in flight may stop the channel
        for name, endpoint in self._endpoints.items():
            if self._process.dispatcher(name).state().state in ("paused", "stopped"):
                await self._operate(op.Resume(channel=name), endpoint)
        for endpoint in self._endpoints.values():
            await self._delivered(endpoint)
        await anyio.sleep(1.0)
        for rules in self._rules:
            rules.check_end()

    async def _delivered(self, endpoint: Endpoint) -> None:
        """Wait until nothing is pending, or until it should have been."""
        states, rules = endpoint.database.states, endpoint.rules
        until = rules.attention_from + ATTENTION * ([*states().values()].count("pending") + 1)
        while anyio.current_time() < until and "pending" in states().values():
            await anyio.sleep(10.0)
            rules.check_attention()


class CheckedReceiver(Receiver):
    """A receiver whose requests are checked."""

    def __init__(self, *, wall: Clock, rules: Rules) -> None:
        super().__init__(wall=wall)
        self.begins, self.ends = rules.begins, rules.ends  # type: ignore[method-assign]


def _standstill(loop: SimulationLoop) -> str | None:
    """Return why the scenario will not end; None while it may."""
    if loop.stood_still:
        return "the time stood still: tasks wake each other"
    if loop.rounds > MOST_ROUNDS:
        return f"the loop went round {loop.rounds} times: tasks wake each other after short pauses"
    if loop.time() > MOST_SECONDS:
        return "the scenario did not end: something waits for what does not happen"
    return None


def settings_with(name: str, *, concurrency: int, order_wait: float) -> webhook.Settings:
    return webhook.Settings(
        name=name,
        url="https://backend.example/hook",
        secrets=[SECRET],
        timeout=5.0,
        attempts=ATTEMPTS,
        alert_after=ALERT_AFTER,
        concurrency=concurrency,
        order_wait=order_wait,
    )
