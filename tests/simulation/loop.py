"""One event loop in virtual time, in which everything runs in an order that the seed decides.

Time moves to the next timer once every task waits. A fuse calls a function at a chosen await, which
is how a process is killed there.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Generator, Mapping
from contextvars import Context
from typing import Any, TypeVarTuple, Unpack

_Arguments = TypeVarTuple("_Arguments")

_SPINS = 20_000
"""Rounds of the loop without a timer after which something waits in a circle."""


class _TimeSelector(selectors.BaseSelector):
    """Waits for nothing but time: there are no sockets and no threads."""

    def __init__(self) -> None:
        self.now = 0.0
        self.rounds = 0
        self.stood_still: list[float] = []
        self._spins = 0
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        number = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        key = selectors.SelectorKey(fileobj, number, events, data)
        self._keys[fileobj] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("every task waits, and no timer is set")
        self.rounds += 1
        if timeout > 0:
            self.now += timeout
            self._spins = 0
        else:
            self._spins += 1
            if self._spins > _SPINS:
                self.stood_still.append(self.now)
                self.now += 1.0
                self._spins = 0
        return []


class _NumberedTask(asyncio.Task[Any]):
    """A task with its own number as hash, so that a set of tasks always has the same order."""

    _count = 0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        _NumberedTask._count += 1
        self._number = _NumberedTask._count
        super().__init__(*arguments, **options)

    def __hash__(self) -> int:
        return self._number


class SimulationLoop(asyncio.SelectorEventLoop):
    """Pass as `loop_factory`."""

    def __init__(self) -> None:
        self._selected = _TimeSelector()
        self._awaits_left = 0
        self._blown: Callable[[], None] | None = None
        super().__init__(self._selected)
        _NumberedTask._count = 0
        self.set_task_factory(_numbered)

    def time(self) -> float:
        return self._selected.now

    @property
    def stood_still(self) -> list[float]:
        """When the loop went round and round without a timer; each ended after a second."""
        return self._selected.stood_still

    @property
    def rounds(self) -> int:
        """How often the loop has gone round."""
        return self._selected.rounds

    def light_fuse(self, awaits: int, blown: Callable[[], None]) -> None:
        """Call `blown` once so many awaits of any task have ended. It may not await."""
        self._awaits_left, self._blown = awaits, blown

    def call_soon(
        self,
        callback: Callable[[Unpack[_Arguments]], object],
        *args: *_Arguments,
        context: Context | None = None,
    ) -> asyncio.Handle:
        if self._blown is not None:
            self._awaits_left -= 1
            if self._awaits_left <= 0:
                blown, self._blown = self._blown, None
                super().call_soon(blown)
        return super().call_soon(callback, *args, context=context)


def _numbered(
    loop: asyncio.AbstractEventLoop,
    coroutine: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
    /,
    **options: Any,
) -> asyncio.Task[Any]:
    return _NumberedTask(coroutine, loop=loop, **options)
