"""What runs with its own connections: the log lines of a unit name it."""

from contextlib import AsyncExitStack

import anyio
import pytest

from watcher.core.log_fields import fields_in_scope
from watcher.daemon.units import Unit

pytestmark = pytest.mark.anyio


class Logging(Unit):
    """Notes the fields of lines that it would log: as it opens, runs, and in a task of its own."""

    seen: list[dict[str, object]]

    async def _open(self, resources: AsyncExitStack) -> None:
        self.seen = [dict(fields_in_scope())]

    async def _run(self) -> None:
        self.seen.append(dict(fields_in_scope()))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._note)

    async def _note(self) -> None:
        self.seen.append(dict(fields_in_scope()))

    async def _stop(self) -> None: ...


async def test_all_lines_of_a_unit_are_about_it_and_no_others() -> None:
    first, second = Logging(1, source="a"), Logging(2, channel="b")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first.run)
        tasks.start_soon(second.run)
    assert first.seen == [{"source": "a"}] * 3
    assert second.seen == [{"channel": "b"}] * 3
    assert dict(fields_in_scope()) == {}
