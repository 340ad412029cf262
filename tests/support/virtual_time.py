"""An event loop in virtual time: a day of polling takes milliseconds.

Time jumps to the next timer once every task waits. Work in a thread (the store's) runs in real time
and takes no virtual time: `attentive(store)` marks each call, and during a call the loop waits for
it instead of jumping.
"""

import asyncio
import selectors
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import anyio

WALL_EPOCH = 1_800_000_000.0
"""Unix seconds at virtual time 0."""


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.outside = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self.outside:
            return super().select(60)
        if timeout is None:
            raise RuntimeError("every task waits and no timer is set: this test would hang")
        self.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Pass as `loop_factory`: `anyio_backend = ("asyncio", {"loop_factory": VirtualLoop})`."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Wait in real time for work in a thread."""
        self._jumping.outside += 1
        try:
            yield
        finally:
            self._jumping.outside -= 1


def wall() -> float:
    """The wall clock in virtual time."""
    return WALL_EPOCH + anyio.current_time()


@contextmanager
def outside() -> Iterator[None]:
    """Wait in real time for work in a thread; does nothing on an ordinary loop."""
    loop = asyncio.get_running_loop()
    if isinstance(loop, VirtualLoop):
        with loop.outside():
            yield
    else:
        yield


class _Attentive:
    def __init__(self, target: Any) -> None:
        self._target = target

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._target, name)
        if not callable(member):
            return member

        def call(*args: Any, **kwargs: Any) -> Any:
            result = member(*args, **kwargs)
            return _batches(result) if hasattr(result, "__anext__") else _awaited(result)

        return call


async def _awaited(result: Any) -> Any:
    with outside():
        return await result


async def _batches(batches: Any) -> AsyncIterator[Any]:
    while True:
        with outside():
            try:
                batch = await anext(batches)
            except StopAsyncIteration:
                return
        yield batch


def attentive(store: Any) -> Any:
    """Return `store` with every call marked as work outside the virtual time."""
    return _Attentive(store)
