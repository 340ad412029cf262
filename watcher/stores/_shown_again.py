"""Results that are shown again for a while: many look at once, and one read serves them all."""

from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

import anyio

MIN_AGE = 1.0
"""Seconds for which a result is shown again."""
COST_SHARE = 50.0
"""It is also shown again for this many times what it took to read: that is 2 % of the time."""
_MOST = 100
"""Results that are kept."""

Result = TypeVar("Result")


class ShownAgain:
    """Keeps results by a key; each is read by one of those who want it at once."""

    def __init__(self) -> None:
        self._results: dict[Hashable, tuple[float, Any]] = {}
        self._lock = anyio.Lock()

    async def get(self, key: Hashable, read: Callable[[], Awaitable[Result]]) -> Result:
        """Return what `read` returned for this key lately, or returns now."""
        async with self._lock:
            began = anyio.current_time()
            fresh_until, result = self._results.get(key, (began, None))
            if began < fresh_until:
                return result  # type: ignore[no-any-return]
            read_now = await read()
            ended = anyio.current_time()
            self._results.pop(key, None)
            self._results[key] = (ended + max(MIN_AGE, COST_SHARE * (ended - began)), read_now)
            if len(self._results) > _MOST:
                del self._results[next(iter(self._results))]
            return read_now
