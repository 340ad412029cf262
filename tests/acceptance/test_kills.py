"""kill -9 between changes and failing deliveries."""

from random import Random

import anyio
import pytest
from aiohttp import web

from tests.acceptance.daemon import Daemon, Site, add

pytestmark = pytest.mark.anyio


class Turmoil:
    """Twenty tasks that keep changing, and a receiver that fails three requests of ten."""

    def __init__(self, site: Site) -> None:
        self.names = [f"task_{number}" for number in range(20)]
        self._site = site
        self._random = Random(5)
        statuses = ["IN_PROGRESS", "QUEUED", "PROCESSING", "IN_PROGRESS", "PROCESSING", "COMPLETED"]
        self._steps = {name: iter(statuses) for name in self.names}
        site.receiver.fault = self._fail_at_random
        self.set_all("PENDING")

    async def _fail_at_random(self, _: web.Request) -> web.StreamResponse | None:
        if self._random.random() < 0.3:
            return web.Response(status=self._random.choice([500, 503, 404]))
        return None

    def set_all(self, status: str) -> None:
        for name in self.names:
            self._site.upstream.set(name, status)

    async def until_killed(self, daemon: Daemon) -> None:
        for _ in range(self._random.randrange(1, 4)):
            for name in self.names:
                if self._random.random() < 0.3 and (status := next(self._steps[name], None)):
                    self._site.upstream.set(name, status)
            await anyio.sleep(self._random.random() * 0.15)
        daemon.process.kill()
        await daemon.ended()


async def stored_sequences(daemon: Daemon, names: list[str]) -> dict[str, list[int]]:
    async with daemon.client() as client:
        watches = {name: (await client.get(f"/v1/watches/{name}")).json() for name in names}
    return {
        name: [transition["sequence"] for transition in watch["transitions"]]
        for name, watch in watches.items()
    }


async def test_twenty_kills_lose_nothing_and_keep_the_order(site: Site) -> None:
    turmoil = Turmoil(site)
    for _ in range(20):
        async with site.daemon() as daemon:
            await add(daemon, *turmoil.names)
            await turmoil.until_killed(daemon)
    turmoil.set_all("COMPLETED")
    site.receiver.fault = None
    async with site.daemon() as daemon:
        await site.until(lambda: len(ended_tasks(site)) == len(turmoil.names))
        stored = await stored_sequences(daemon, turmoil.names)
        await site.until(
            lambda: sum(map(len, site.sequences().values())) >= sum(map(len, stored.values()))
        )
        assert await daemon.stop() == 0

    assert site.sequences() == stored
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in stored.values())
    accepted = site.receiver.accepted()
    for name in turmoil.names:
        arrived = [
            received.event["data"]["sequence"]
            for received in accepted
            if received.event["data"]["task_id"] == name
        ]
        assert arrived == sorted(arrived)
    # A webhook is accepted twice only if it was in flight when a daemon was killed: at most one for
    # each of its eight senders.
    assert len(accepted) - len({received.event_id for received in accepted}) <= 20 * 8


def ended_tasks(site: Site) -> set[str]:
    events = [received.event["data"] for received in site.receiver.accepted()]
    return {data["task_id"] for data in events if data["terminal"]}
