"""`watcher demo`: the real daemon between a fake Mixpeek API and a receiver, in this process and on
loopback.
"""

import base64
import itertools
import logging
import os
import secrets
import signal
import tempfile
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import anyio.abc
import httpx
from prometheus_client import CollectorRegistry

from watcher import __version__
from watcher.cli.console import GuardedConsole
from watcher.cli.demo.configuration import API_KEY, demo_settings
from watcher.cli.demo.outcome import DemoOutcome
from watcher.cli.demo.script import TASK_IDS, ids_of, scenes
from watcher.cli.demo.view import View
from watcher.cli.wait import frames, lines
from watcher.core.clock import wall_clock
from watcher.core.settings import Settings
from watcher.core.wakeup import Wakeup
from watcher.daemon.reload import ReloadRequests
from watcher.daemon.serve import serve
from watcher.telemetry.metrics import Metrics
from watcher.testing.mixpeek_server import FakeUpstream
from watcher.testing.receiver import Received, Receiver

_TIMEOUT = 60.0  # seconds
_SLACK_INTERVAL = 0.2  # seconds between looks at the receiver's Slack messages
_SLACK_MESSAGES = 3


def run_demo(*, serves: bool = False) -> int:
    """Run the demo. Return 0 if every task has ended and every webhook was verified, else 1.

    With `serves`, rounds of new tasks follow until SIGINT or SIGTERM, with the live page at the
    address that is printed.
    """
    logging.getLogger().setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="watcher-demo-") as folder:
        demo = _Demo(Path(folder), serves=serves)
        return anyio.run(demo.run, backend_options={"use_uvloop": os.name != "nt"})


class _Demo:
    def __init__(self, folder: Path, *, serves: bool) -> None:
        self._database = folder / "watcher.db"
        self._serves = serves
        self._secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        self._view = View(GuardedConsole())
        self._outcome = DemoOutcome(len(TASK_IDS))
        self._upstream = FakeUpstream(api_key=API_KEY)
        self._receiver = Receiver(self._secret, self._show_delivery)
        self._started_at = 0.0
        self._slack_shown = 0
        self._complete = False
        self._unwritten: OSError | None = None
        self._changed = Wakeup()
        self._stopped = anyio.Event()

    async def run(self) -> int:
        async with AsyncExitStack() as servers:
            upstream = await servers.enter_async_context(self._upstream.serve())
            receiver = await servers.enter_async_context(self._receiver.serve())
            settings = demo_settings(upstream, receiver, self._secret, self._database)
            requests = ReloadRequests()
            async with anyio.create_task_group() as tasks:
                url = await tasks.start(self._run_daemon, settings, requests)
                self._view.opening(len(TASK_IDS), url, serves=self._serves)
                await tasks.start(self._follow, url)
                with anyio.CancelScope() as playing:
                    if self._serves:
                        await tasks.start(_cancel_on_signal, playing)
                    await self._play_rounds(url)
                requests.stop()
                await self._stopped.wait()
                tasks.cancel_scope.cancel()
        return 0 if self._complete or self._serves else 1

    async def _play_rounds(self, url: str) -> None:
        await self._play_round(url, 0)
        self._complete = self._outcome.complete
        self._show_summary()
        if self._serves:
            self._view.continuing(url)
            for number in itertools.count(1):
                self._forget(number - 1)
                await self._play_round(url, number)

    def _forget(self, number: int) -> None:
        """Drop what an earlier round has left in memory."""
        for task_id in ids_of(number):
            self._upstream.remove(task_id)
        self._receiver.received.clear()
        self._receiver.slack.clear()
        self._slack_shown = 0
        self._outcome = DemoOutcome(len(TASK_IDS))

    async def _play_round(self, url: str, number: int) -> None:
        self._started_at = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._play, number)
            await self._add(url, number)
            with anyio.move_on_after(_TIMEOUT):
                await self._until_complete()
            tasks.cancel_scope.cancel()

    async def _run_daemon(
        self,
        settings: Settings,
        requests: ReloadRequests,
        *,
        task_status: anyio.abc.TaskStatus[str],
    ) -> None:
        metrics = Metrics(CollectorRegistry(), __version__)
        await serve(settings, requests, metrics, task_status=task_status)
        self._stopped.set()

    async def _play(self, number: int) -> None:
        """Change the tasks of the fake API as the script says."""
        for scene in scenes(number):
            await anyio.sleep_until(self._started_at + scene.at)
            self._upstream.set(scene.task_id, scene.status, **scene.fields)

    async def _add(self, url: str, number: int) -> None:
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            entries = [
                {"task_id": task_id, "labels": {"team": "demo"}} for task_id in ids_of(number)
            ]
            (await client.post("/v1/watches", json=entries)).raise_for_status()

    async def _follow(self, url: str, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Show the transitions of the daemon's event stream."""
        async with (
            httpx.AsyncClient(base_url=url, timeout=None, trust_env=False) as client,  # noqa: S113  # a stream has no end
            client.stream("GET", "/v1/events") as stream,
        ):
            task_status.started()
            async for _, event in frames(lines(stream.aiter_bytes())):
                self._outcome.transition(event["data"])
                self._view.transition(self._elapsed(), event["data"])
                self._changed.set()

    def _show_delivery(self, received: Received) -> None:
        """Show a delivery. The receiver calls this, so `run` raises what cannot be written."""
        self._outcome.delivery(received, wall_clock())
        try:
            self._view.delivery(self._elapsed(), received)
            self._show_slack()
        except OSError as error:
            self._unwritten = error
        self._changed.set()

    def _show_slack(self) -> None:
        for message in self._receiver.slack[self._slack_shown :]:
            self._view.slack(message)
        self._slack_shown = len(self._receiver.slack)

    async def _until_complete(self) -> None:
        while not (self._outcome.complete and len(self._receiver.slack) == _SLACK_MESSAGES):
            generation = self._changed.generation
            with anyio.move_on_after(_SLACK_INTERVAL):
                await self._changed.wait(generation)
            if self._unwritten is not None:
                raise self._unwritten
            self._show_slack()

    def _elapsed(self) -> float:
        return anyio.current_time() - self._started_at

    def _show_summary(self) -> None:
        rows = self._outcome.rows(
            requests=sum(self._upstream.responses.values()),
            slack_messages=len(self._receiver.slack),
        )
        self._view.summary(rows, Counter(self._outcome.statuses.values()))


async def _cancel_on_signal(
    scope: anyio.CancelScope, *, task_status: anyio.abc.TaskStatus[None]
) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
        task_status.started()
        async for _ in received:
            scope.cancel()
