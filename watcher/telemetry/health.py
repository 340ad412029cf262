"""Liveness and readiness.

Upstream's state is part of neither: the probes of a sidecar restart its whole pod.
"""

from collections.abc import Awaitable, Callable, Mapping

import anyio

from watcher.core.errors import StoreError, StoreFailure
from watcher.telemetry.liveness import LivenessMonitor

_CACHE_SECONDS = 1.0
_PING_TIMEOUT = 2.0  # seconds


class Health:
    """The state behind the probes; `ping` writes to the store, and its result is cached. `apart`
    returns why this process may not write for what it serves, although the store is writable.
    """

    def __init__(
        self,
        ping: Callable[[], Awaitable[None]],
        monitors: Callable[[], Mapping[str, LivenessMonitor]],
        apart: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._ping = ping
        self._monitors = monitors
        self._apart = apart
        self._pinged_at: float | None = None
        self._unready: str | None = None
        self.store_failure: StoreFailure | None = None
        """Why the store was not writable when `unready` last tried it."""
        self._lock = anyio.Lock()

    def stalled_loops(self) -> list[str]:
        return [name for name, monitor in self._monitors().items() if monitor.late()]

    async def unready(self) -> str | None:
        """Return why this process cannot write to the store; None if it can."""
        async with self._lock:
            now = anyio.current_time()
            if self._pinged_at is None or now - self._pinged_at >= _CACHE_SECONDS:
                self._unready = await self._ping_store()
                self._pinged_at = now
            return self._unready or self._apart()

    async def _ping_store(self) -> str | None:
        try:
            with anyio.fail_after(_PING_TIMEOUT):
                await self._ping()
        except StoreError as error:
            self.store_failure = error.failure
            return str(error)
        except TimeoutError:
            self.store_failure = StoreFailure.NO_RESPONSE
            return f"the store did not respond within {_PING_TIMEOUT:g} s"
        self.store_failure = None
        return None
