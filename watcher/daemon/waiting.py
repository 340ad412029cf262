"""Opens the store. While its disk is full, or its server away, the daemon waits, and its listeners
show the reason.
"""

import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import anyio
import anyio.abc

from watcher.core.errors import StoreCorruptError, StoreError, StoreFullError, StoreUnusableError
from watcher.core.interfaces.store import Store
from watcher.core.settings import Settings
from watcher.telemetry.health import Health
from watcher.telemetry.metrics import Metrics
from watcher.telemetry.throttle import LogThrottle

logger = logging.getLogger(__name__)

RETRY_AFTER = 2.0
"""Seconds between two attempts to open the store."""


class WaitingDaemon:
    """What the listeners show while the store is not open. Implements
    `api.probe_responses.ProbedDaemon`.
    """

    def __init__(self, settings: Settings, metrics: Metrics, reason: StoreError) -> None:
        self.settings = settings
        self.metrics = metrics
        self.reason = reason
        self.health = Health(self._fail, dict)

    async def refresh_gauges(self) -> None:
        self.metrics.store_writable(self.reason.failure)
        await self._fail()

    async def _fail(self) -> None:
        error = StoreError(str(self.reason))
        error.failure = self.reason.failure
        raise error


Serve = Callable[[WaitingDaemon, anyio.abc.TaskGroup], Awaitable[None]]
"""Starts, in a task group, what shows a waiting daemon."""


async def opened(
    create: Callable[[], AbstractAsyncContextManager[Store]],
    resources: AsyncExitStack,
    show: Callable[[StoreError], WaitingDaemon],
    serve: Serve,
    stopping: anyio.Event,
) -> Store | None:
    """Return the open store, which belongs to `resources`; None if `stopping` came first.

    `show` makes the waiting daemon of an error. Raises `StoreError` if waiting does not help.
    """
    try:
        return await resources.enter_async_context(create())
    except (StoreUnusableError, StoreCorruptError):
        raise
    except StoreError as error:
        waiting = show(error)
    store = None
    async with anyio.create_task_group() as tasks:
        await serve(waiting, tasks)
        tasks.start_soon(cancel_at, stopping, tasks.cancel_scope)
        store = await _opened_later(create, resources, waiting)
        tasks.cancel_scope.cancel()
    return store


async def _opened_later(
    create: Callable[[], AbstractAsyncContextManager[Store]],
    resources: AsyncExitStack,
    waiting: WaitingDaemon,
) -> Store:
    throttle = LogThrottle(anyio.current_time)
    while True:
        waiting.metrics.store_errors.inc()
        if throttle.ready("waiting"):
            is_full = isinstance(waiting.reason, StoreFullError)
            rest = "waiting until there is" if is_full else "waiting until it can be used"
            logger.error("%s; %s", waiting.reason, rest)
        await anyio.sleep(RETRY_AFTER)
        try:
            store = await resources.enter_async_context(create())
        except (StoreUnusableError, StoreCorruptError):
            raise
        except StoreError as error:
            waiting.reason = error
        else:
            logger.info("the store is open")
            return store


async def cancel_at(stopping: anyio.Event, scope: anyio.CancelScope) -> None:
    """Cancel a scope once an event is set."""
    await stopping.wait()
    scope.cancel()
