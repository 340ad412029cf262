"""Runs one scenario: a process after another over one store, in virtual time."""

import asyncio
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.abc

from tests.delivery.ordering import operations as op
from tests.delivery.ordering.process import Process, SwitchedDisk, current_loop
from tests.delivery.ordering.receiver import ACCEPTS, ANSWERS, Receiver
from tests.delivery.ordering.rules import ALERT_AFTER, ATTENTION, CHANNEL, Database, Rules
from tests.simulation.loop import SimulationLoop
from tests.support.records import SECRET
from tests.support.virtual_time import WALL_EPOCH
from watcher.channels import webhook
from watcher.core.clock import Clock
from watcher.core.deliveries import DeliveryState
from watcher.core.errors import StoreError
from watcher.core.tasks import Watch

ATTEMPTS = (0.0, 5.0, 30.0, 120.0, 300.0, 1800.0)
SETTLED = 6.0
"""Virtual seconds in which each attempt in flight has ended, and its result is stored."""
STANDSTILL = 10.0
"""Virtual seconds between two looks whether the scenario makes no progress."""
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
        return world.rules.problems
    finally:
        shutil.rmtree(folder)


class World:
    """The world of one scenario."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._slip = 0.0
        self._disk = SwitchedDisk()
        self._database = Database(path)
        self.rules = Rules(self._database)
        self._receiver = CheckedReceiver(wall=self.wall, rules=self.rules)
        self._watches: dict[str, Watch] = {}
        self._settings = settings_with(concurrency=8, order_wait=600.0)
        self._process: Process

    def wall(self) -> float:
        """The wall clock, which jumps."""
        return WALL_EPOCH + asyncio.get_running_loop().time() + self._slip

    async def run(self, operations: list[op.Operation]) -> None:
        try:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                tasks.start_soon(self._watch)
                await self._start(self._settings)
                for operation in operations:
                    with suppress(StoreError):
                        await self._perform(operation)
                    if self.rules.problems:
                        break
                else:
                    await self._heal()
                tasks.cancel_scope.cancel()
        finally:
            self._database.close()

    async def _watch(self) -> None:
        """End everything once it makes no progress."""
        while not (standstill := _standstill(current_loop())):  # noqa: ASYNC110  # sets no event
            await anyio.sleep(STANDSTILL)
        self.rules.broken(standstill)
        self._tasks.cancel_scope.cancel()

    async def _perform(self, operation: op.Operation) -> None:
        match operation:
            case op.Store():
                await self._store(operation)
            case op.Wait(seconds=seconds):
                await anyio.sleep(seconds)
                self.rules.check_attention()
                self.rules.check_alert()
            case op.Respond(latency=latency):
                self._receiver.cycle, self._receiver.latency = operation.cycle, latency
            case op.Reject(task=task, answer=answer):
                self._receiver.rejecting.pop(f"task_{task}", None)
                if answer is not None:
                    self._receiver.rejecting[f"task_{task}"] = ANSWERS[answer]
            case op.Restart() | op.Jump() | op.Disk():
                await self._change_surroundings(operation)
            case _:
                await self._operate(operation)

    async def _operate(self, operation: op.Operation) -> None:
        dispatcher = self._process.dispatcher
        match operation:
            case op.Pause():
                await dispatcher.pause("maintenance")
                self.rules.silenced("paused")
            case op.Resume():
                self.rules.silenced(None)
                self.rules.demanded()
                await dispatcher.resume()
                self.rules.demanded()  # what ended meanwhile is forgotten too
            case op.RetryAll():
                self.rules.demanded()
                dispatcher.attempt_all()
            case op.RetryOne(state=state, position=position):
                await self._retry_one(state, position)
            case op.Purge(state=state):
                store = self._process.harness.store
                await store.purge(CHANNEL, DeliveryState(state), self.wall() + 1.0)
                self.rules.acted()

    async def _change_surroundings(self, operation: op.Restart | op.Jump | op.Disk) -> None:
        match operation:
            case op.Restart():
                await self._restart(operation)
            case op.Jump(seconds=seconds):
                self._slip += seconds
                self.rules.jumped(seconds)
            case op.Disk(full=full):
                self._disk.full = self.rules.disk_full = full
                self.rules.acted()

    async def _store(self, operation: op.Store) -> None:
        for _ in range(operation.count):
            for task in operation.tasks:
                name = f"task_{task}"
                watch = self._watches.get(name)
                sequence = 1 if watch is None else watch.sequence + 1
                # Before it is stored: its first attempt may be made before it is returned.
                self.rules.stored(name, f"msg_{name}_{sequence}")
                try:
                    await self._process.harness.store_event(
                        name, _STATUSES[sequence % 2], size=operation.size
                    )
                except StoreError:
                    self.rules.not_stored(name)
                    raise

    async def _retry_one(self, state: str, position: int) -> None:
        store = self._process.harness.store
        page, _ = await store.list_deliveries(DeliveryState(state), CHANNEL, 1000, None)
        if not page:
            return
        delivery = [*reversed(page)][position % len(page)]
        if state == "failed":
            self.rules.sent[delivery.event_id].retried = True
        self.rules.demanded()
        await store.retry(delivery.id, self.wall())
        self._process.dispatcher.attempt_all()
        self.rules.demanded()

    async def _restart(self, operation: op.Restart) -> None:
        if operation.awaits is None:
            self.rules.closing = True
            await self._process.stop()
        else:
            await self._process.killed_after(operation.awaits)
        changed = settings_with(concurrency=operation.concurrency, order_wait=operation.order_wait)
        await self._start(changed)

    async def _start(self, settings: webhook.Settings) -> None:
        kept = settings == self._settings
        self._settings = settings
        self.rules.starts(settings.order_wait, kept=kept)
        self._process = Process(self._path, self._disk, self._receiver, self._watches)
        full, self._disk.full = self._disk.full, False  # a store on a full disk may not open
        await self._tasks.start(self._process.run, settings)
        self._disk.full = full

    async def _heal(self) -> None:
        """Let the receiver accept everything, and wait for as long as that may take."""
        self._receiver.cycle, self._receiver.latency = (ACCEPTS,), 0.0
        self._receiver.rejecting.clear()
        self._disk.full = self.rules.disk_full = False
        self.rules.acted()
        await anyio.sleep(SETTLED)  # what was in flight may stop the channel
        if self._process.dispatcher.state().state in ("paused", "stopped"):
            self.rules.silenced(None)
            self.rules.demanded()
            await self._process.dispatcher.resume()
        pending = [*self._database.states().values()].count("pending")
        until = self.rules.attention_from + ATTENTION * (pending + 1)
        while anyio.current_time() < until and "pending" in self._database.states().values():
            await anyio.sleep(10.0)
            self.rules.check_attention()
        await anyio.sleep(1.0)
        self.rules.check_end()


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


def settings_with(*, concurrency: int, order_wait: float) -> webhook.Settings:
    return webhook.Settings(
        name=CHANNEL,
        url="https://backend.example/hook",
        secrets=[SECRET],
        timeout=5.0,
        attempts=ATTEMPTS,
        alert_after=ALERT_AFTER,
        concurrency=concurrency,
        order_wait=order_wait,
    )
