"""`watcher demo`: the real daemon between a made-up upstream and a receiver, all in this process, on loopback."""

import base64
import logging
import os
import secrets
import tempfile
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import httpx
from rich.console import Console

from watcher import app, configuration
from watcher.clock import parse_rfc3339, wall_clock
from watcher.demo.receiver import Received, Receiver
from watcher.demo.script import TASK_IDS, scenes
from watcher.demo.upstream import FakeUpstream
from watcher.demo.view import View
from watcher.model import TERMINAL_STATUSES
from watcher.settings import Settings
from watcher.wait import frames

_PATIENCE = 60.0
_SETTLING = 3.0
_API_KEY = "sk_made_up"


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
        self._statuses: dict[str, str] = {}
        self._webhooks: list[Received] = []
        self._latencies: list[float] = []
        self._changed = anyio.Event()

    async def run(self) -> int:
        async with AsyncExitStack() as servers, anyio.create_task_group() as tasks:
            upstream = await servers.enter_async_context(self._upstream.serve())
            receiver = await servers.enter_async_context(self._receiver.serve())
            give, orders = anyio.create_memory_object_stream[Settings](1)
            url = await tasks.start(app.serve, self._settings(upstream, receiver), orders)
            self._began = anyio.current_time()
            self._view.opening(len(TASK_IDS), url)
            await tasks.start(self._follow, url)
            tasks.start_soon(self._play)
            with anyio.move_on_after(_PATIENCE):
                await self._add(url)
                await self._until(lambda: len(self._done()) == len(TASK_IDS))
            with anyio.move_on_after(_SETTLING):
                await self._until(lambda: self._complete() and len(self._receiver.slack) == 3)
            give.close()
            self._show_slack()
            tasks.cancel_scope.cancel()
        self._summarise()
        return 0 if len(self._done()) == len(TASK_IDS) and self._complete() else 1
