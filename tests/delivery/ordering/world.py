"""Runs one scenario: a process after another over one store, in virtual time."""

import asyncio
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.abc

from tests.delivery.ordering import operations as op
from tests.delivery.ordering.endpoint import Endpoint, settings_with
from tests.delivery.ordering.operators import operate
from tests.delivery.ordering.process import Process, SwitchedDisk, current_loop
from tests.delivery.ordering.receiver import ANSWERS
from tests.delivery.ordering.rules import ATTENTION
from tests.simulation.loop import SimulationLoop
from tests.support.virtual_time import WALL_EPOCH
from watcher.core.errors import StoreError
from watcher.core.tasks import Watch

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
                await operate(self._process, operation, self._endpoints[operation.channel])

    def _answer(self, operation: op.Respond | op.Reject) -> None:
        receiver = self._endpoints[operation.channel].receiver
        match operation:
            case op.Respond(latency=latency):
                receiver.cycle, receiver.latency = operation.cycle, latency
            case op.Reject(task=task, answer=None):
                receiver.rejecting.pop(f"task_{task}", None)
            case op.Reject(task=task, answer=str() as answer):
                receiver.rejecting[f"task_{task}"] = ANSWERS[answer]

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
                await operate(self._process, op.Resume(channel=name), endpoint)
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


def _standstill(loop: SimulationLoop) -> str | None:
    """Return why the scenario will not end; None while it may."""
    if loop.stood_still:
        return "the time stood still: tasks wake each other"
    if loop.rounds > MOST_ROUNDS:
        return f"the loop went round {loop.rounds} times: tasks wake each other after short pauses"
    if loop.time() > MOST_SECONDS:
        return "the scenario did not end: something waits for what does not happen"
    return None
