"""The whole daemon in this process: a fake upstream and a receiver on loopback, and real time."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from prometheus_client import CollectorRegistry

from tests.support.records import SECRET
from watcher.configuration import loader
from watcher.core.errors import ConfigurationError
from watcher.core.settings import Settings
from watcher.daemon.reload import Reloader, ReloadRequests
from watcher.daemon.serve import serve
from watcher.telemetry.metrics import Metrics
from watcher.testing.mixpeek_server import FakeUpstream
from watcher.testing.receiver import Receiver

pytestmark = pytest.mark.anyio

PATIENCE = 20.0


class Site:
    """A daemon with what surrounds it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._accepted = anyio.Event()
        self.upstream = FakeUpstream()
        self.receiver = Receiver(SECRET, lambda _: self._accepted.set())
        self.urls: dict[str, str] = {}
        self.stopped = anyio.Event()

    def settings(self, *channels: str) -> Settings:
        webhook = {"type": "webhook", "url": f"{self.urls['receiver']}/hook", "secrets": [SECRET]}
        source = {"type": "mixpeek", "base_url": self.urls["upstream"], "api_key": "sk_made_up"}
        return loader.load(
            None,
            {
                "WATCHER_SOURCES": json.dumps([source]),
                "WATCHER_CHANNELS": json.dumps([{**webhook, "name": name} for name in channels]),
                "WATCHER_POLLING__MAX_INTERVAL": "1s",
                "WATCHER_SERVER__PORT": "0",
                "WATCHER_STORE__URL": f"sqlite:///{self._folder / 'watcher.db'}",
            },
        )

    @asynccontextmanager
    async def running(self, *channels: str) -> AsyncIterator[httpx.AsyncClient]:
        """Run the daemon with these channels; yields a client of its API."""
        async with (
            self.upstream.serve() as self.urls["upstream"],
            self.receiver.serve() as self.urls["receiver"],
            anyio.create_task_group() as tasks,
        ):
            self.requests = ReloadRequests()
            with anyio.fail_after(PATIENCE):
                url = await tasks.start(self._serve, self.settings(*channels))
            async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
                yield client
            self.requests.stop()
            with anyio.fail_after(PATIENCE):
                await self.stopped.wait()

    async def _serve(self, settings: Settings, *, task_status: anyio.abc.TaskStatus[str]) -> None:
        self.metrics = Metrics(CollectorRegistry(), "test")
        await serve(settings, self.requests, self.metrics, task_status=task_status)
        self.stopped.set()

    async def until_received(self, enough: Callable[[], bool]) -> None:
        """Wait until the receiver has accepted enough."""
        with anyio.fail_after(PATIENCE):
            while not enough():
                await self._accepted.wait()
                self._accepted = anyio.Event()

    def statuses(self) -> list[str]:
        return [received.event["data"]["status"] for received in self.receiver.accepted()]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


async def names(client: httpx.AsyncClient) -> list[str]:
    items: list[dict[str, Any]] = (await client.get("/v1/channels")).json()["items"]
    return [item["name"] for item in items]


async def test_from_the_watchlist_to_the_receiver(site: Site) -> None:
    site.upstream.set("task_1", "FAILED")
    async with site.running("backend") as client:
        response = await client.post("/v1/watches", json={"task_id": "task_1"})
        assert response.status_code == 201
        await site.until_received(lambda: site.statuses() == ["FAILED"])
    (received,) = site.receiver.received
    assert received.verified


async def test_a_reload_replaces_the_channels_and_keeps_the_watchlist(site: Site) -> None:
    site.upstream.set("task_1", "IN_PROGRESS")
    async with site.running("backend") as client:
        await client.post("/v1/watches", json={"task_id": "task_1"})
        site.requests.reload(site.settings("first", "second"))
        with anyio.fail_after(PATIENCE):
            while await names(client) != ["first", "second"]:
                await anyio.lowlevel.checkpoint()
        site.upstream.set("task_1", "COMPLETED")
        await site.until_received(lambda: site.statuses().count("COMPLETED") == 2)


async def test_a_channel_is_tested_beside_what_it_delivers(site: Site) -> None:
    async with site.running("backend") as client:
        done = await client.post("/v1/channels/backend/test", json={"type": "task.lost"})
        assert done.json() == {
            "channel": "backend",
            "delivered": True,
            "status": 204,
            "error": None,
        }
        assert (await client.get("/v1/deliveries")).json()["items"] == []
    (received,) = site.receiver.received
    assert (received.event["type"], received.verified) == ("task.lost", True)


class Configuration:
    """What the file and the files of secrets hold."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.file: Settings | ConfigurationError = settings
        self.secrets: Settings | ConfigurationError = settings
        self.ended: list[bool] = []
        self.reloader = Reloader(
            settings,
            lambda: self._valid(self.file),
            lambda: self._valid(self.secrets),
            self.ended.append,
        )

    def _valid(self, content: Settings | ConfigurationError) -> Settings:
        if isinstance(content, ConfigurationError):
            raise content
        return content


@pytest.fixture
def configuration(site: Site) -> Configuration:
    site.urls = {"receiver": "https://receiver.example", "upstream": "https://upstream.example"}
    return Configuration(site.settings("backend"))


def test_an_invalid_configuration_changes_nothing_and_is_logged_once(
    configuration: Configuration, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, missing = tmp_path / "watcher.yaml", tmp_path / "secret"
    file.write_text("log:\n")
    configuration.file = configuration.secrets = ConfigurationError(
        ["server.port: unknown key", "log: unknown key"], frozenset({file, missing})
    )
    reloader = configuration.reloader
    assert reloader.reload() is None
    assert reloader.reload() is None
    assert [record.message for record in caplog.records] == [
        "invalid configuration, nothing was changed: server.port: unknown key",
        "invalid configuration, nothing was changed: log: unknown key",
    ]
    assert configuration.ended == [False, False]
    assert not reloader.files_changed()
    missing.write_text("now it is there")
    assert reloader.files_changed()
    configuration.file = configuration.secrets = configuration.settings
    assert reloader.reload() == configuration.settings
    missing.unlink()  # nothing that the valid configuration needs
    assert not reloader.files_changed()


def test_a_changed_secret_is_used_while_the_file_is_invalid(configuration: Configuration) -> None:
    settings = configuration.reloader.reload()
    assert settings is not None
    rotated = settings.model_copy(
        update={"channels": (settings.channels[0].model_copy(update={"timeout": 3.0}),)}
    )
    configuration.file = ConfigurationError(["log: unknown key"])
    configuration.secrets = settings
    assert configuration.reloader.reload() == settings
    configuration.secrets = rotated
    assert configuration.reloader.reload() == rotated
    assert configuration.reloader.reload() == rotated
    configuration.file = settings
    assert configuration.reloader.reload() == settings
    assert configuration.ended == [True, False, False, False, True]


def test_a_reload_keeps_what_needs_a_restart(
    configuration: Configuration, caplog: pytest.LogCaptureFixture
) -> None:
    settings = configuration.reloader.reload()
    assert settings is not None
    configuration.file = settings.model_copy(
        update={"server": settings.server.model_copy(update={"port": 9}), "channels": ()}
    )
    reloaded = configuration.reloader.reload()
    assert reloaded is not None
    assert (reloaded.server, reloaded.channels) == (settings.server, ())
    assert "a change to server needs a restart; the old value is kept" in caplog.text
