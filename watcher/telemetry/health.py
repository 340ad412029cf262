"""Alive and ready. Upstream's state is part of neither: a sidecar's probes are its pod's."""

from collections.abc import Awaitable, Callable, Mapping

import anyio

from watcher.core.errors import StoreError
from watcher.telemetry.liveness import LivenessMonitor

_REMEMBERED = 1.0
_PATIENCE = 2.0


class Health:
    """Answers the probes; `ping` writes to the store, and what came of it is remembered for a second."""

    def __init__(
        self,
        ping: Callable[[], Awaitable[None]],
        pulses: Callable[[], Mapping[str, LivenessMonitor]],
    ) -> None:
        self._ping = ping
        self._pulses = pulses
        self._asked_at: float | None = None
        self._unready: str | None = None
        self._turn = anyio.Lock()

    def standing(self) -> list[str]:
        """Return the names of the loops that have not come round in time."""
        return [name for name, pulse in self._pulses().items() if pulse.late()]

    async def unready(self) -> str | None:
        """Return why the store cannot be written, None where it can."""
        async with self._turn:
            now = anyio.current_time()
            if self._asked_at is None or now - self._asked_at >= _REMEMBERED:
                self._unready = await self._write()
                self._asked_at = now
            return self._unready

    async def _write(self) -> str | None:
        try:
            with anyio.fail_after(_PATIENCE):
                await self._ping()
        except StoreError as error:
            return str(error)
        except TimeoutError:
            return f"the store did not answer within {_PATIENCE:g} s"
        return None
