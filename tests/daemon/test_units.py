"""What runs with its own connections: the log lines of a unit name it."""

from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from watcher.core.log_fields import fields_in_scope
from watcher.core.settings import ChannelSettings, PollingSettings, SourceSettings
from watcher.daemon.units import ChannelUnit, SourceUnit, Unit

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


async def test_a_unit_that_gains_slots_continues_what_their_owner_knew() -> None:
    calls = list[str]()

    async def drain() -> None:
        calls.append("drain")

    def take_over() -> None:
        calls.append("take over")

    shared: Any = None
    fake: Any = SimpleNamespace(take_over=take_over, drain=drain)
    channel = ChannelUnit(1, ChannelSettings(name="backend", type="webhook"), shared)
    channel.dispatcher = fake
    for slots in ({1, 2}, {1, 2}, {2}, {2, 3}, {4}):
        calls.append(f"{sorted(slots)}")
        await channel.serve(frozenset(slots))
    shown = "[1, 2], take over, [1, 2], [2], drain, [2, 3], take over, [4], take over, drain"
    assert ", ".join(calls) == shown

    calls.clear()
    source = SourceUnit(
        1, SourceSettings(name="mixpeek", type="mixpeek"), PollingSettings(), shared
    )
    poller: Any = SimpleNamespace(keep=lambda serves: None, outage=fake)
    source.poller = poller
    for slots in ({1, 2}, {2}, {2, 3}):
        calls.append(f"{sorted(slots)}")
        source.serve(frozenset(slots))
    assert ", ".join(calls) == "[1, 2], take over, [2], [2, 3], take over"
