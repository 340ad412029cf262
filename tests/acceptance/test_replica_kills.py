"""kill -9 of one of several daemons that share a store."""

import json
import re

import anyio
import pytest

from tests.acceptance.daemon import PATIENCE, Daemon, Site, add
from tests.support.postgresql import Server
from watcher.testing.faults import answers

pytestmark = pytest.mark.anyio

DOWN = 'watcher_source_up{source="mixpeek"} 0.0'
_HEARTBEATS = re.compile(r"^watcher_heartbeats_total\{.*\} (.*)$", re.MULTILINE)


async def until_down_at(*daemons: Daemon) -> Daemon:
    """Wait until one of the daemons polls the source, and finds it down; return that one."""
    with anyio.fail_after(PATIENCE):
        while True:
            for daemon in daemons:
                if DOWN in await daemon.metrics():
                    return daemon
            await anyio.sleep(0.05)


async def sends_heartbeats(daemon: Daemon) -> bool:
    return any(float(count) for count in _HEARTBEATS.findall(await daemon.metrics()))


async def test_an_outage_and_its_end_are_announced_once_although_each_owner_is_killed(
    site: Site, postgresql_server: Server
) -> None:
    site.environ |= {
        "WATCHER_STORE__URL": await postgresql_server.new_store(),
        "WATCHER_SOURCES": json.dumps(
            [{"requests_per_minute": None, "timeout": "2s", "unreachable_after": "1s"}]
        ),
        "WATCHER_HEARTBEAT__URL": f"{site.environ['MIXPEEK_BASE_URL']}/beat",
        "WATCHER_HEARTBEAT__EVERY": "200ms",
    }

    def announced(kind: str) -> set[str]:
        received = site.receiver.accepted()
        return {one.event_id for one in received if one.event["type"] == f"source.{kind}"}

    site.upstream.set("task_1", "IN_PROGRESS")
    async with site.daemon() as first, site.daemon() as second:
        await add(first, "task_1")
        await site.until_received("task.in_progress", 1)
        site.upstream.fault = answers(503, "{}", content_type="application/json")
        await site.until(lambda: announced("unreachable"))
        owner = await until_down_at(first, second)
        other = second if owner is first else first
        assert [await sends_heartbeats(one) for one in (owner, other)] == [True, False]
        owner.process.kill()
        await owner.ended()

        await until_down_at(other)
        assert await sends_heartbeats(other)
        async with site.daemon() as third:
            other.process.kill()
            await until_down_at(third)
            site.upstream.fault = None
            site.upstream.set("task_1", "COMPLETED")
            await site.until(lambda: announced("recovered"))
            await site.until_received("task.completed", 1)
            assert await third.stop() == 0
    assert len(announced("unreachable")) == len(announced("recovered")) == 1
