"""What runs with its own connections until it is closed: a source with its poller, a channel with
its dispatcher, a discovery rule, the heartbeat.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from functools import partial

import anyio
import anyio.abc

from watcher.core.alert_limits import SHORTEST_ANSWER_LIMIT, answer_limit
from watcher.core.interfaces.channel import Closing
from watcher.core.interfaces.source import Source
from watcher.core.log_fields import lines_about
from watcher.core.ownership import slot
from watcher.core.settings import ChannelSettings, PollingSettings, SourceSettings
from watcher.core.tasks import ActiveWatch, Watch
from watcher.daemon import build
from watcher.daemon.build import Shared
from watcher.delivery.dispatcher import Dispatcher
from watcher.polling.discovery import Discovery
from watcher.polling.poller import Poller
from watcher.telemetry.metrics import Component

DELIVERY_GRACE = 10.0
"""Seconds that deliveries in flight get when their channel is closed."""


class Unit(ABC):
    """Runs once, from `run` until `close`. Units with equal keys run the same."""

    def __init__(self, key: object, **about: str) -> None:
        """`about` are the fields of all log lines of the unit."""
        self.key = key
        self._about = about
        self._scope = anyio.CancelScope()
        self._ended = anyio.Event()

    async def run(
        self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Open what the unit needs, report that it is open, and run until `close`."""
        try:
            async with AsyncExitStack() as resources:
                resources.enter_context(lines_about(**self._about))
                await self._open(resources)
                task_status.started()
                with self._scope:
                    await self._run()
        finally:
            self._ended.set()

    async def close(self) -> None:
        """Stop in order; return once `run` has ended."""
        await self._stop()
        self._scope.cancel()
        await self._ended.wait()

    @abstractmethod
    async def _open(self, resources: AsyncExitStack) -> None:
        """Create what runs; its connections belong to `resources`."""

    @abstractmethod
    async def _run(self) -> None: ...

    @abstractmethod
    async def _stop(self) -> None:
        """Do what has to be done before the cancellation."""


class SourceUnit(Unit):
    """A source and its poller; both exist from the start of `run` on."""

    source: Source
    poller: Poller

    def __init__(
        self, key: object, settings: SourceSettings, polling: PollingSettings, shared: Shared
    ) -> None:
        super().__init__(key, source=settings.name)
        self.type = settings.type
        self._settings = settings
        self.answer_limit = answer_limit(settings, polling)
        self.polling = polling
        self._shared = shared
        self.slots: frozenset[int] | None = frozenset()
        """The slots whose tasks are polled; None for all."""

    async def _open(self, resources: AsyncExitStack) -> None:
        opening = self._shared.surroundings.source_transport(self._settings)
        transport = await resources.enter_async_context(opening)
        self.source = build.create_source(self._settings, self._shared, transport)
        context = build.polling_context(self._settings, self.polling, self._shared)
        self.poller = Poller(self.source, context)
        context.metrics.limits(
            max_interval=self.polling.max_interval,
            silent=max(self.answer_limit, SHORTEST_ANSWER_LIMIT),
        )

    async def _run(self) -> None:
        await self.poller.run()

    async def _stop(self) -> None:
        self.poller.close()

    def serve(self, slots: frozenset[int] | None) -> frozenset[int] | None:
        """Poll the tasks of these slots alone; None for all. Returns those that were not served
        before, whose watches have to be restored.
        """
        before, self.slots = self.slots, slots
        if slots is None:
            return None if before is not None else frozenset()
        if before is None:
            before = slots
        if not before <= slots:
            self.poller.keep(self._serves)
        gained = slots - before
        if gained:
            self.poller.outage.take_over()
        return gained

    def track(self, watches: Iterable[Watch]) -> None:
        """Poll these watches at once, as far as their slots are served."""
        self.poller.track([watch for watch in watches if self._serves(watch.key.task_id)])

    def restore(self, watches: Iterable[ActiveWatch]) -> None:
        """Poll stored watches, as far as their slots are served."""
        self.poller.restore(watch for watch in watches if self._serves(watch.task_id))

    def _serves(self, task_id: str) -> bool:
        return self.slots is None or slot(task_id) in self.slots


class ChannelUnit(Unit):
    """A channel's dispatcher, which exists from the start of `run` on."""

    dispatcher: Dispatcher

    def __init__(self, key: object, settings: ChannelSettings, shared: Shared) -> None:
        super().__init__(key, channel=settings.name)
        self.alert_after = settings.alert_after
        self._slots: frozenset[int] | None = frozenset()
        self._settings = settings
        self._shared = shared

    async def _open(self, resources: AsyncExitStack) -> None:
        opening = self._shared.surroundings.channel_transport(self._settings)
        transport = await resources.enter_async_context(opening)
        channel = build.create_channel(self._settings, self._shared, transport)
        if isinstance(channel, Closing):
            resources.push_async_callback(channel.aclose)
        context = build.delivery_context(self._settings, self._shared)
        context.metrics.alerts_after(self.alert_after)
        self.dispatcher = Dispatcher(channel, context)

    async def _run(self) -> None:
        await self.dispatcher.run()

    async def serve(self, slots: frozenset[int] | None) -> None:
        """Serve the queues of these slots alone, None for all; return once none of another one is
        claimed. Then `claim_again` has to be called.
        """
        before, self._slots = self._slots, slots
        if before is None or slots is None:
            return
        if not slots <= before:
            self.dispatcher.take_over()
        if not before <= slots:
            await self.dispatcher.drain()

    def claim_again(self) -> None:
        """Claim deliveries again, once the slots that were given up belong to others."""
        self.dispatcher.claim_again()

    async def _stop(self) -> None:
        """Attempt once what was never attempted, and finish what is in flight."""
        with anyio.move_on_after(DELIVERY_GRACE):
            await self.dispatcher.close()


class LoopUnit(Unit):
    """A loop that is run again after an unexpected error, and needs no end in order."""

    def __init__(
        self, key: object, component: Component, loop: Callable[[], Awaitable[None]], shared: Shared
    ) -> None:
        super().__init__(key)
        self._loop = partial(shared.unexpected.keep_running, component, loop)

    async def _open(self, resources: AsyncExitStack) -> None:
        """Nothing: its connections are opened by the loop or belong to another unit."""

    async def _run(self) -> None:
        await self._loop()

    async def _stop(self) -> None:
        """Nothing: it can be cancelled anywhere."""


class RuleUnit(LoopUnit):
    """A discovery rule, which lists tasks of a running source."""

    def __init__(self, key: object, discovery: Discovery, shared: Shared) -> None:
        super().__init__(key, Component.DISCOVERY, discovery.run, shared)
        self.discovery = discovery
