"""`watcher demo`: the real daemon between a made-up upstream and a receiver, all in this process,
on loopback.
"""

import base64
import json
import logging
import os
import secrets
import statistics
import tempfile
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import anyio.abc
import httpx
from rich.console import Console

from watcher.cli.demo.script import TASK_IDS, scenes
from watcher.cli.demo.view import View
from watcher.cli.wait import frames
from watcher.configuration import loader
from watcher.core.clock import parse_rfc3339, wall_clock
from watcher.core.settings import Settings
from watcher.core.tasks import TERMINAL_STATUSES
from watcher.core.wakeup import Wakeup
from watcher.daemon.reload import ReloadRequests
from watcher.daemon.serve import serve
from watcher.testing.mixpeek_server import FakeUpstream
from watcher.testing.receiver import Received, Receiver

_PATIENCE = 60.0
_SLACK_MESSAGES = 3
_API_KEY = "sk_made_up"
_LINKS = {
    "Open task": "https://console.example/tasks/{task_id}",
    "Runbook": "https://wiki.example/batches",
}


def show() -> int:
    """Run the demo, and return 0 where every task is done and every webhook came, verified."""
    logging.getLogger().setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="watcher-demo-") as folder:
        return anyio.run(_Demo(Path(folder)).run, backend_options={"use_uvloop": os.name != "nt"})


class _Demo:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        self._view = View(Console(highlight=False))
        self._upstream = FakeUpstream(api_key=_API_KEY)
        self._receiver = Receiver(self._secret, self._delivered)
        self._began = 0.0
        self._shown_slack = 0
        self._transitions = 0
        self._delivered_ids: set[str] = set()
        self._statuses: dict[str, str] = {}
        self._latencies: list[float] = []
        self._happened = Wakeup()
        self._stopped = anyio.Event()

    async def run(self) -> int:
        async with AsyncExitStack() as servers:
            upstream = await servers.enter_async_context(self._upstream.serve())
            receiver = await servers.enter_async_context(self._receiver.serve())
            give, orders = anyio.create_memory_object_stream[Settings](1)
            async with anyio.create_task_group() as tasks:
                url = await tasks.start(self._daemon, self._settings(upstream, receiver), orders)
                self._view.opening(len(TASK_IDS), url)
                await tasks.start(self._follow, url)
                self._began = anyio.current_time()
                tasks.start_soon(self._play)
                await self._add(url)
                with anyio.move_on_after(_PATIENCE):
                    await self._until_complete()
                give.close()
                await self._stopped.wait()
                tasks.cancel_scope.cancel()
        self._summarise()
        return 0 if self._complete() else 1

    def _settings(self, upstream: str, receiver: str) -> Settings:
        """Return the settings as a user would give them: through the environment, here a made-up
        one.
        """
        source = {"base_url": upstream, "api_key": _API_KEY, "requests_per_minute": None}
        webhook = {
            "name": "backend",
            "type": "webhook",
            "url": f"{receiver}/hook",
            "secrets": [self._secret],
        }
        slack = {
            "name": "alerts",
            "type": "slack",
            "url": f"{receiver}/slack",
            "mention": "<!here>",
            "links": _LINKS,
        }
        routes = [
            {"channels": ["backend"], "initial": True},
            {
                "channels": ["alerts"],
                "events": ["task.failed", "task.completed_with_errors", "task.canceled"],
            },
        ]
        return loader.load(
            None,
            {
                "WATCHER_SOURCES": json.dumps([source]),
                "WATCHER_CHANNELS": json.dumps([webhook, slack]),
                "WATCHER_ROUTES": json.dumps(routes),
                "WATCHER_POLLING__MAX_INTERVAL": "2s",
                "WATCHER_SERVER__PORT": "0",
                "WATCHER_STORE__URL": f"sqlite:///{self._folder / 'watcher.db'}",
            },
        )

    async def _daemon(
        self,
        settings: Settings,
        orders: ReloadRequests,
        *,
        task_status: anyio.abc.TaskStatus[str],
    ) -> None:
        await serve(settings, orders, task_status=task_status)
        self._stopped.set()

    async def _play(self) -> None:
        """Let upstream's tasks do what the script says."""
        for scene in scenes():
            await anyio.sleep_until(self._began + scene.at)
            self._upstream.set(scene.task_id, scene.status, **scene.fields)

    async def _add(self, url: str) -> None:
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            entries = [{"task_id": task_id, "labels": {"team": "demo"}} for task_id in TASK_IDS]
            (await client.post("/v1/watches", json=entries)).raise_for_status()

    async def _follow(self, url: str, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Show the transitions of the daemon's event stream."""
        async with (
            httpx.AsyncClient(base_url=url, timeout=None, trust_env=False) as client,  # noqa: S113  # a stream has no end
            client.stream("GET", "/v1/events") as stream,
        ):
            task_status.started()
            async for _, event in frames(stream.aiter_lines()):
                data = event["data"]
                self._transitions += 1
                self._statuses[data["task_id"]] = data["status"]
                self._view.transition(self._seconds(), data)
                self._happened.set()

    def _delivered(self, received: Received) -> None:
        if received.verified:
            self._delivered_ids.add(received.event_id)
            self._latencies.append(wall_clock() - parse_rfc3339(received.event["timestamp"]))
        self._view.delivery(self._seconds(), received)
        self._show_slack()
        self._happened.set()

    def _show_slack(self) -> None:
        for message in self._receiver.slack[self._shown_slack :]:
            self._view.slack(message)
        self._shown_slack = len(self._receiver.slack)

    async def _until_complete(self) -> None:
        while not (self._complete() and len(self._receiver.slack) == _SLACK_MESSAGES):
            seen = self._happened.generation
            with anyio.move_on_after(0.2):
                await self._happened.wait(seen)
            self._show_slack()

    def _complete(self) -> bool:
        done = [status for status in self._statuses.values() if status in TERMINAL_STATUSES]
        return len(done) == len(TASK_IDS) and len(self._delivered_ids) == self._transitions

    def _seconds(self) -> float:
        return anyio.current_time() - self._began

    def _summarise(self) -> None:
        rows = [
            (
                "tasks",
                f"{len(self._statuses)} of {len(TASK_IDS)} seen, "
                f"in {sum(self._upstream.gets.values())} requests",
            ),
            ("transitions", str(self._transitions)),
            (
                "webhooks",
                f"{len(self._delivered_ids)} delivered, each signature verified by the receiver",
            ),
            ("Slack", f"{len(self._receiver.slack)} messages"),
        ]
        if self._latencies:
            rows.append(
                (
                    "stored to delivered",
                    f"{statistics.median(self._latencies) * 1000:.0f} ms (median)",
                )
            )
        self._view.summary(rows, Counter(self._statuses.values()))
