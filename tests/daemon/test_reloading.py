"""A daemon whose settings change while it runs, in virtual time, between fake transports."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import anyio
import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from tests.support.records import SECRET, event
from tests.support.stores import opened
from tests.support.virtual_time import VirtualLoop, attentive, wall
from watcher.configuration import loader
from watcher.core.deliveries import OutboxDepth
from watcher.core.errors import StoreError, StoreFailure, StoreFullError, StoreMovedError
from watcher.core.settings import ChannelSettings, Settings, SourceSettings
from watcher.core.tasks import TaskKey, WatchRequest
from watcher.daemon.build import Surroundings
from watcher.daemon.daemon import Daemon
from watcher.daemon.reload import ReloadRequests
from watcher.daemon.served import Everything
from watcher.daemon.units_view import UnitsView
from watcher.telemetry.health import Health
from watcher.telemetry.metrics import Metrics

pytestmark = pytest.mark.anyio

RULE = {"list": "tasks", "every": "60s"}


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


def settings_of(*channels: dict[str, Any] | str, **sections: Any) -> Settings:
    """Return settings with these channels (a name, or settings beyond the usual ones)."""
    usual = {"type": "webhook", "url": "https://receiver.example/hook", "secrets": [SECRET]}
    named = [{"name": one} if isinstance(one, str) else one for one in channels]
    lists = {"channels": [{**usual, **one} for one in named], **sections}
    environ = {f"WATCHER_{name.upper()}": json.dumps(value) for name, value in lists.items()}
    return loader.load(
        None,
        {
            "MIXPEEK_API_KEY": "sk_made_up",
            "WATCHER_STORE__URL": "sqlite:///unused",
            **environ,
        },
    )


class World:
    """A daemon on a real store. `connections` counts the transports opened for each name."""

    def __init__(self, store: Any) -> None:
        self.connections: Counter[str] = Counter()
        self.requests = ReloadRequests()
        self.metrics = Metrics(CollectorRegistry(), "test")
        self.receiver_hangs = False
        self.polls: list[float] = []
        self._ready = anyio.Event()
        self.daemon = Daemon(
            settings_of(),
            attentive(store),
            self.metrics,
            Surroundings(
                wall=wall,
                random=lambda: Random(1),
                source_transport=self._opened(self._upstream),
                channel_transport=self._opened(self._receiver),
            ),
        )

    def _opened(self, answer: Callable[[httpx.Request], Any]) -> Callable[..., Any]:
        def open_transport(settings: SourceSettings | ChannelSettings) -> httpx.MockTransport:
            self.connections[settings.name] += 1
            return httpx.MockTransport(answer)

        return open_transport

    async def _upstream(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            self.polls.append(anyio.current_time())
        task = {"task_id": "task_1", "status": "IN_PROGRESS", "task_type": "t"}
        body = task if request.method == "GET" else {"results": [task], "pagination": {"total": 1}}
        return httpx.Response(200, json=body)

    async def _receiver(self, request: httpx.Request) -> httpx.Response:
        if self.receiver_hangs:
            await anyio.sleep_forever()
        return httpx.Response(204)

    @asynccontextmanager
    async def running(self, settings: Settings) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.daemon.run, settings, self.requests, lambda _: self._ready.set())
            await self._ready.wait()
            await anyio.sleep(1)
            yield
            self.requests.stop()

    async def reload(self, settings: Settings) -> Counter[str]:
        """Reload, and return for what new connections were opened."""
        before = self.connections.copy()
        self.requests.reload(settings)
        await anyio.sleep(1)
        assert self.daemon.settings is settings
        return self.connections - before

    async def shown(self) -> str:
        await self.daemon.refresh_gauges()
        return generate_latest(self.metrics.registry).decode()

    async def watch(self, task_id: str) -> None:
        added = await self.daemon.store.add([WatchRequest(key=TaskKey("mixpeek", task_id))], wall())
        self.daemon.track(added.watches)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as store:
        yield World(store)


class CutOff(Everything):
    """What a replica serves that may not trust its session: all, as far as it knows."""

    def trusted(self, group: str) -> bool:
        return False


async def test_a_replica_that_is_cut_off_shows_nothing_of_what_others_may_serve(
    world: World,
) -> None:
    async def shown() -> list[float | None]:
        await world.daemon.refresh_gauges()
        value = world.metrics.registry.get_sample_value
        return [
            value("watcher_watches", {"source": "mixpeek", "status": "IN_PROGRESS"}),
            value("watcher_outbox_pending", {"channel": "backend"}),
        ]

    async with world.running(settings_of("backend")):
        await world.daemon.pause("backend", "test")
        await world.watch("task_1")
        await world.daemon.store.record_outage(event(1, key=None), None)
        await anyio.sleep(5)
        assert await shown() == [1.0, 1.0]
        daemon: Any = world.daemon
        cut_off = replace(daemon._shared, served=CutOff())
        daemon._view = UnitsView(cut_off, daemon._units)
        assert await shown() == [0.0, 0.0]


async def test_what_alerts_compare_with_follows_the_settings(world: World) -> None:
    def shown(name: str, **labels: str) -> float | None:
        return world.metrics.registry.get_sample_value(name, labels)

    base = settings_of({"name": "backend", "alert_after": "1h"})
    async with world.running(base):
        await world.shown()
        assert shown("watcher_max_interval_seconds", source="mixpeek") == 30
        assert shown("watcher_poll_silent_limit_seconds", source="mixpeek") == 900
        assert shown("watcher_poll_silent_seconds", source="mixpeek") == 0
        assert shown("watcher_alert_after_seconds", channel="backend") == 3600
        source = base.sources[0].model_copy(update={"unreachable_after": 600.0, "timeout": 5.0})
        polling = base.polling.model_copy(update={"max_interval": 3600.0})
        await world.reload(base.model_copy(update={"sources": (source,), "polling": polling}))
        assert shown("watcher_max_interval_seconds", source="mixpeek") == 3600
        assert shown("watcher_poll_silent_limit_seconds", source="mixpeek") == 7805
    metrics = Metrics(CollectorRegistry(), "test")
    name = "no longer configured"
    metrics.outbox({name: OutboxDepth.empty(name)}, now=0.0)
    labels = {"channel": "no longer configured"}
    assert metrics.registry.get_sample_value("watcher_alert_after_seconds", labels) == 300


async def test_a_scrape_shows_whether_and_why_not_events_can_be_stored(world: World) -> None:
    def unwritable() -> list[str]:
        return [
            reason
            for reason in StoreFailure
            if world.metrics.registry.get_sample_value(
                "watcher_store_unwritable", {"reason": reason}
            )
        ]

    error: StoreError | None = None

    async def ping() -> None:
        if error is not None:
            raise error

    world.daemon.health = Health(ping, dict)
    async with world.running(settings_of("backend")):
        assert "watcher_store_free_bytes" in await world.shown()
        assert unwritable() == []
        for failure, reason in (
            (StoreFullError("no space"), "disk_full"),
            (StoreFullError("too large", StoreFailure.MAX_SIZE), "max_size"),
            (StoreMovedError("removed"), "moved"),
            (StoreError("I/O error"), "error"),
        ):
            error = failure
            await anyio.sleep(2)  # a result is kept for one second
            await world.shown()
            assert unwritable() == [reason]


async def test_only_what_has_other_settings_starts_again(world: World, tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text("first")
    base = settings_of("one", "two", discovery=[RULE])
    private = base.channels[1].model_copy(update={"ca_file": authority})
    base = base.model_copy(update={"channels": (base.channels[0], private)})
    slower = base.channels[0].model_copy(update={"timeout": 3.0})
    async with world.running(base):
        assert world.connections == Counter({"mixpeek": 1, "one": 1, "two": 1})
        same = base.model_copy()
        assert await world.reload(same) == Counter()
        routes = settings_of("one", routes=[{"channels": ["one"]}]).routes
        routed = base.model_copy(update={"routes": routes})
        assert await world.reload(routed) == Counter()
        assert await world.reload(
            base.model_copy(update={"channels": (slower, private)})
        ) == Counter({"one": 1})
        authority.write_text("second")
        assert await world.reload(
            base.model_copy(update={"channels": (slower, private)})
        ) == Counter({"two": 1})
        polling = base.polling.model_copy(update={"max_interval": 20.0})
        assert await world.reload(
            base.model_copy(update={"channels": (slower, private), "polling": polling})
        ) == Counter({"mixpeek": 1})


async def test_a_reload_changes_no_schedule(world: World) -> None:
    async with world.running(settings_of("one")):
        await world.watch("task_1")
        await anyio.sleep(300)
        before = len(world.polls)
        for _ in range(20):
            await world.reload(settings_of("two"))
            await world.reload(settings_of("one"))
        # 40 s with a poll every 30 s; a poller that starts again would poll each time.
        assert len(world.polls) - before <= 2


async def test_routes_apply_to_the_next_event(world: World) -> None:
    none = [{"channels": ["one"], "events": ["task.failed"]}]
    async with world.running(settings_of("one", routes=none)):
        every = settings_of("one", routes=[{"channels": ["one"], "initial": True}])
        await world.reload(every)
        await world.watch("task_1")
        await anyio.sleep(5)
        (delivery,), _ = await world.daemon.store.list_deliveries(None, None, 10, None)
        assert delivery.channel == "one"


async def test_a_stop_during_reloads_takes_no_longer_than_a_stop(world: World) -> None:
    world.receiver_hangs = True
    routes = [{"channels": ["one"], "initial": True}]
    one = {"name": "one", "timeout": "60s"}
    async with world.running(settings_of(one, routes=routes)):
        await world.watch("task_1")
        await anyio.sleep(5)
        for number in range(5):
            changed = {"name": "one", "timeout": f"{61 + number}s"}
            world.requests.reload(settings_of(changed, routes=routes))
            await anyio.sleep(1)
        stopped_at = anyio.current_time()
    assert anyio.current_time() - stopped_at <= 12


async def test_a_replaced_channel_is_paused_while_another_one_is_still_closing(
    world: World,
) -> None:
    world.receiver_hangs = True
    routes = [{"channels": ["slow"], "initial": True}]
    async with world.running(settings_of("slow", "quick", routes=routes)):
        await world.watch("task_1")
        await anyio.sleep(5)
        world.requests.reload(
            settings_of(
                {"name": "slow", "timeout": "61s"},
                {"name": "quick", "timeout": "3s"},
                routes=routes,
            )
        )
        await anyio.sleep(1)
        assert world.connections == Counter({"mixpeek": 1, "slow": 1, "quick": 2})
        await world.daemon.pause("quick", "maintenance")
        await anyio.sleep(15)
        states = {channel.name: channel.state for channel in await world.daemon.channels()}
        assert (list(states), states["quick"]) == (["slow", "quick"], "paused")


async def test_what_left_the_configuration_leaves_the_metrics(world: World) -> None:
    world.receiver_hangs = True
    first = settings_of("gone", "idle", "kept", routes=[{"channels": ["gone"], "initial": True}])
    second = first.sources[0].model_copy(update={"name": "second"})
    first = first.model_copy(update={"sources": (*first.sources, second)})
    rules = settings_of(discovery=[{**RULE, "source": "mixpeek"}]).discovery
    async with world.running(first.model_copy(update={"discovery": rules})):
        await world.watch("task_1")
        await anyio.sleep(5)
        shown = await world.shown()
        assert all(f'"{name}"' in shown for name in ("gone", "idle", "second", "0 tasks"))
        world.requests.reload(settings_of("kept"))
        await anyio.sleep(15)  # what is in flight to "gone" has 10 s
        shown = await world.shown()
        assert not any(f'"{name}"' in shown for name in ("idle", "second", "0 tasks"))
        # Of a channel with pending deliveries what waits is shown, until its name returns.
        about_gone = [line for line in shown.splitlines() if 'channel="gone"' in line]
        assert {line.partition("{")[0] for line in about_gone} == {
            "watcher_alert_after_seconds",
            "watcher_deliveries_kept",
            "watcher_outbox_pending",
            "watcher_outbox_bypassed",
            "watcher_outbox_bytes",
            "watcher_outbox_oldest_seconds",
        }
        world.receiver_hangs = False
        await world.reload(settings_of("kept", "gone"))
        await anyio.sleep(60)
        assert 'watcher_outbox_pending{channel="gone"} 0.0' in await world.shown()
        await world.reload(settings_of("kept"))
        assert 'channel="gone"' not in await world.shown()
