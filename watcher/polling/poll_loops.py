"""The two loops that take tasks from the schedules, and send the requests for them.

The *single* loop polls one task per request, the *shared* loop as many as a page holds; each waits
for the request budget of its own endpoint. Both take tasks from the common schedule; the single
loop also takes those that have to be polled individually.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import anyio
import anyio.abc

from watcher.core.interfaces.source import Endpoint
from watcher.core.wakeup import Wakeup
from watcher.polling.budget_shares import BudgetShares
from watcher.polling.context import PollingContext
from watcher.polling.loop_choice import MAX_IDLE, LoopChoice
from watcher.polling.outage import SourceOutage
from watcher.polling.poll_requests import PollRequests
from watcher.polling.schedule import Schedule
from watcher.polling.watchlist import TrackedTask
from watcher.telemetry.liveness import LivenessMonitor

IN_FLIGHT = {"single": 32, "shared": 16}
"""Requests of a loop whose answers are not stored yet. Beyond it answers wait upstream, not in
memory: a page of a thousand tasks takes half a megabyte.
"""


class PollLoops:
    """The loops of one source; without `shared` there is one. `choice` says what each polls now."""

    def __init__(
        self,
        context: PollingContext,
        *,
        single: Endpoint,
        shared: Endpoint | None,
        choice: LoopChoice,
        requests: PollRequests,
        outage: SourceOutage,
        shares: BudgetShares,
        wakeup: Wakeup,
    ) -> None:
        self._task_name = f"fetch {context.source_name}"
        self._single = single
        self._shared = shared
        self._choice = choice
        self._requests = requests
        self._outage = outage
        self._shares = shares
        self._wakeup = wakeup
        self._in_flight: Counter[str] = Counter()
        names = ["single"] if shared is None else ["single", "shared"]
        self.monitors = {name: LivenessMonitor(anyio.current_time) for name in names}

    def all(self) -> list[Callable[[anyio.abc.TaskGroup], Awaitable[None]]]:
        """Return the loops; each runs for ever, with its requests in a task group."""
        loops = [partial(self._run, "single", self._single, self._choice.for_single)]
        if self._shared is not None:
            loops.append(partial(self._run, "shared", self._shared, self._choice.for_shared))
        return [*loops]

    async def _run(
        self,
        name: str,
        endpoint: Endpoint,
        choose: Callable[[float], Schedule[TrackedTask] | None],
        requests: anyio.abc.TaskGroup,
    ) -> None:
        while True:
            self.monitors[name].beat()
            generation = self._wakeup.generation
            now = anyio.current_time()
            if self._outage.review():
                requests.start_soon(self._requests.store_outage)
            schedule = choose(now) if self._in_flight[name] < IN_FLIGHT[name] else None
            if schedule is None:
                with anyio.move_on_after(self._choice.until_next(now)):
                    await self._wakeup.wait(generation)
            elif name not in self._choice.admitted:
                # Tasks are chosen after admission: one that is added during the wait comes first.
                with anyio.move_on_after(MAX_IDLE):
                    await endpoint.admit()
                    self._choice.admitted.add(name)
            else:
                self._choice.admitted.discard(name)
                tasks = self._take(schedule, endpoint, now)
                self._wakeup.set()  # the other loop may poll what is left
                self._in_flight[name] += 1
                requests.start_soon(self._poll, name, endpoint, tasks, name=self._task_name)

    def _take(
        self, schedule: Schedule[TrackedTask], endpoint: Endpoint, now: float
    ) -> Sequence[TrackedTask]:
        """Take the tasks of the next request, with which it counts as sent."""
        self._outage.request_sent()
        fill = endpoint.capacity > 1
        ahead = fill and self._choice.ahead()
        tasks = schedule.take(now, endpoint.capacity, fill=fill, ahead=ahead)
        if fill:
            self._shares.page_sent()
        return tasks

    async def _poll(self, name: str, endpoint: Endpoint, tasks: Sequence[TrackedTask]) -> None:
        try:
            await self._requests.poll(endpoint, tasks, individually=endpoint is self._single)
        finally:
            self._in_flight[name] -= 1
            self._wakeup.set()
        await self._requests.store_outage()
