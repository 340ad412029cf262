"""Runs the scenario of one seed: processes one after another, what happens to them, and the checks.

The order of events depends on the seed alone.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import anyio

from tests.simulation.attention import Attention
from tests.simulation.configuration import settings_of
from tests.simulation.disk import Disk
from tests.simulation.invariants import Invariants
from tests.simulation.limit_headers import FORMS
from tests.simulation.loop import SimulationLoop
from tests.simulation.operators import operate
from tests.simulation.process import Process
from tests.simulation.receivers import Receiver
from tests.simulation.scenario import CHANNELS, Action, Scenario, draw
from tests.simulation.trace import Trace, logged
from tests.simulation.upstream import Upstream
from tests.simulation.vitals import check_process
from tests.support.virtual_time import WALL_EPOCH
from watcher.core.errors import StoreError

CHECK_EVERY = 5.0
"""Virtual seconds between two checks of what has to happen in time."""
SETTLING = 1500.0
"""Virtual seconds after the last fault in which everything has to be observed and delivered."""
STOPPING = 12.0
"""Seconds that an orderly stop may take."""
_OPERATOR_RETRIES = 2.0
_SUPERVISOR_WAITS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a seed ended. `problems` is empty where every invariant held; `seconds` are virtual."""

    seed: int
    problems: Sequence[str]
    seconds: float
    requests: int
    webhooks: int
    kills: int
    lines: Sequence[str]


def run_seed(seed: int, *, traced: bool = False) -> Outcome:
    """Run one seed, without or with a trace of what happened."""
    memory = Path("/dev/shm")  # a disk in memory, where there is one
    folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    trace = Trace(folder, kept=traced)
    try:
        with logged(trace) as log:
            simulation = Simulation(draw(seed), folder / "watcher.db", trace)
            anyio.run(simulation.run, backend_options={"loop_factory": SimulationLoop})
            return simulation.outcome(log.tracebacks)
    finally:
        shutil.rmtree(folder)


class Simulation:
    """The world of one seed."""

    def __init__(self, scenario: Scenario, path: Path, trace: Trace) -> None:
        random = Random(scenario.seed ^ 0x51317)
        self._scenario = scenario
        self._path = path
        self._trace = trace
        self._random = random
        self._slip = 0.0
        self._kills = 0
        self._ended_at = 0.0
        self._finished = False
        self._downtime = 0.0
        self._process: Process | None = None
        self._settings = settings_of(scenario, path)
        self._upstream = Upstream(
            scenario.lives,
            scenario.upstream,
            lagging=scenario.lagging,
            page_cap=scenario.page_cap,
            limit=scenario.limit or 600,
            headers=FORMS[scenario.header_form],
            random=Random(random.getrandbits(64)),
            wall=self.wall,
            trace=trace,
        )
        self.invariants = Invariants(path, self._upstream, scenario, trace)
        self._attention = Attention(scenario, self._upstream, self.invariants)
        self._disk = Disk(scenario.disk, Random(random.getrandbits(64)), self.invariants.committed)
        self._receivers = {name: self._receiver(name) for name in CHANNELS}

    def _receiver(self, name: str) -> Receiver:
        receiver = Receiver(
            name=name,
            windows=self._scenario.receivers[name],
            random=Random(self._random.getrandbits(64)),
            wall=self.wall,
            trace=self._trace,
        )
        receiver.arrived = self.invariants.arrived(receiver)
        return receiver

    def wall(self) -> float:
        """The wall clock, which jumps."""
        return WALL_EPOCH + asyncio.get_running_loop().time() + self._slip

    async def run(self) -> None:
        """Run until everything is delivered after the last fault, or a rule is broken."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._act, tasks)
            tasks.start_soon(self._check)
            await self._supervise()
            tasks.cancel_scope.cancel()
        self._ended_at = anyio.current_time()

    def outcome(self, tracebacks: Sequence[str]) -> Outcome:
        """Return how it ended, with the tracebacks in the log as problems."""
        problems = [*self.invariants.problems, *tracebacks]
        for receiver in self._receivers.values():
            problems += receiver.problems
        self.invariants.close()
        return Outcome(
            seed=self._scenario.seed,
            problems=problems,
            seconds=self._ended_at,
            requests=sum(map(len, self._upstream.requests.values())),
            webhooks=sum(len(receiver.arrivals) for receiver in self._receivers.values()),
            kills=self._kills,
            lines=self._trace.lines,
        )

    # Processes

    async def _supervise(self) -> None:
        """Run one process after another, as systemd does."""
        while not self._finished:
            self._process = process = self._start()
            self._trace.note("process", "starts")
            error = await process.run(self._settings)
            if process.stopping_for > STOPPING and not self._scenario.disk:
                self.invariants.broken(f"the stop took {process.stopping_for:.1f} s")
            self._trace.note("process", f"ended: {error!r}")
            if error is not None and not self._excused(error):
                self.invariants.broken(f"the daemon ended: {error!r}")
            self._process = None
            if self.invariants.problems:
                return
            downtime = self._downtime if error is None else _SUPERVISOR_WAITS
            await anyio.sleep(downtime)

    def _excused(self, error: Exception) -> bool:
        return isinstance(error, StoreError) and self._disk.fault() is not None

    def _start(self) -> Process:
        return Process(
            self._path,
            self._disk,
            wall=self.wall,
            random=Random(self._random.getrandbits(64)),
            upstream=self._upstream.answer,
            receivers=lambda name: self._receivers[name].answer,
        )

    def _kill(self) -> None:
        if self._process is not None and not self._process.dead:
            self._kills += 1
            self._trace.note("process", "killed")
            self._process.kill()

    # Actions

    async def _act(self, tasks: anyio.abc.TaskGroup) -> None:
        for action in self._scenario.actions:
            await anyio.sleep_until(action.at)
            self._trace.note("action", str(action))
            tasks.start_soon(self._perform, action)

    async def _perform(self, action: Action) -> None:
        if action.kind == "kill":
            self._downtime = action.seconds
            _loop().light_fuse(action.awaits, self._kill)
        elif action.kind == "jump":
            self._slip += action.seconds
        elif action.kind == "reload":
            self._settings = settings_of(self._scenario, self._path, **action.settings)
            if self._process is not None:
                self._process.reload(self._settings)
        elif action.kind == "stop":
            self._downtime = action.seconds
            if self._process is not None:
                self._process.stop()
        else:
            await self._repeat(action)

    async def _repeat(self, action: Action) -> None:
        """Call the daemon until it has done what an operator wants."""
        while not self._finished:
            try:
                if await self._call(action):
                    return
            except (StoreError, KeyError) as error:
                self._trace.note("action", f"{action.kind} failed: {error}")
            await anyio.sleep(_OPERATOR_RETRIES)

    async def _call(self, action: Action) -> bool:
        """Return whether the daemon has done it; it may not be there."""
        daemon = None if self._process is None else self._process.daemon
        if daemon is None:
            return False
        await operate(daemon, action, self.wall(), self._attention, self.invariants)
        return True

    # Checks

    async def _check(self) -> None:
        """Check at an interval; end everything once nothing is left, or a rule is broken."""
        while not self.invariants.problems:
            await anyio.sleep(CHECK_EVERY)
            self.invariants.check_budget()
            for at in _loop().stood_still:
                self.invariants.broken(f"the time stood still at {at:.3f} s: tasks wake each other")
            process = self._process
            if process is None or process.ready_at is None:
                continue
            now = anyio.current_time()
            self._attention.check(now, process.ready_at)
            self._attention.check_outage(now, process.ready_at)
            check_process(process, self._upstream, self.invariants, self._scenario)
            if now > self._scenario.ends + CHECK_EVERY and await self._is_over(now):
                break
        self._finished = True
        if self._process is not None:
            self._kill() if self.invariants.problems else self._process.stop()

    async def _is_over(self, now: float) -> bool:
        """Return whether everything is observed and delivered, after the last fault."""
        await self._resume_all()
        left = self._attention.unfinished()
        if not left:
            self.invariants.check_deliveries(self._receivers)
        elif now > self._scenario.ends + SETTLING:
            self.invariants.broken("; ".join(left))
        return not left

    async def _resume_all(self) -> None:
        """Resume what its receiver has stopped, and make everything due that was rejected."""
        daemon = None if self._process is None else self._process.daemon
        with suppress(StoreError):  # tried again with the next check
            for channel in await daemon.channels() if daemon is not None else ():
                if channel.state in ("stopped", "paused"):
                    await self._call(Action(at=0.0, kind="resume", channel=channel.name))


def _loop() -> SimulationLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulationLoop)
    return loop
