"""Results that are shown again for a while."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from tests.support.virtual_time import VirtualLoop
from watcher.stores._shown_again import ShownAgain

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


class Counted:
    """A read that takes `duration` seconds and returns how often it was made."""

    def __init__(self, duration: float) -> None:
        self.duration = duration
        self.count = 0

    async def __call__(self) -> int:
        await anyio.sleep(self.duration)
        self.count += 1
        return self.count


async def repeated(get: Callable[[], Awaitable[int]], seconds: float) -> list[int]:
    """What is returned each tenth of a second."""
    found = []
    for _ in range(round(seconds * 10)):
        found.append(await get())
        await anyio.sleep(0.1)
    return found


async def test_many_who_want_it_at_once_are_served_by_one_read() -> None:
    shown, read = ShownAgain(), Counted(0.2)
    found: list[int] = []

    async def want() -> None:
        found.append(await shown.get("key", read))

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(want)
    assert found == [1] * 20


@pytest.mark.parametrize(("duration", "most"), [(0.001, 10), (0.1, 2)])
async def test_reading_takes_two_percent_of_the_time(duration: float, most: int) -> None:
    shown, read = ShownAgain(), Counted(duration)
    await repeated(lambda: shown.get("key", read), 9.9)
    assert read.count == most


async def test_each_key_has_its_own_result_and_an_error_is_not_kept() -> None:
    shown = ShownAgain()
    assert await shown.get("a", Counted(0)) == 1

    async def fail() -> int:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await shown.get("b", fail)
    assert await shown.get("b", Counted(0)) == 1
    for number in range(300):
        await shown.get(number, Counted(0))
    again = Counted(0)
    assert await shown.get("a", again) == 1
    assert again.count == 1, "only a hundred are kept"
