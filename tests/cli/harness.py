"""The commands in this process, over the real API and store on loopback, and a fake upstream."""

import io
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio.lowlevel
from anyio.from_thread import BlockingPortal, start_blocking_portal

from tests.api.harness import FakeDaemon, opened, served
from tests.support.fake_upstream import transport
from tests.support.records import observation, step
from watcher.cli.main import execute
from watcher.core.clock import wall_clock
from watcher.core.events import new_event_id, task_event
from watcher.core.tasks import Watch
from watcher.sources.mixpeek import source as mixpeek
from watcher.testing.mixpeek_server import FakeUpstream

TOKEN = "made-up-api-token"


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that has ended."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def rows(self) -> list[list[str]]:
        """The words of each line of the output."""
        return [line.split() for line in self.stdout.splitlines()]


class Terminal(io.StringIO):
    """A stream of a terminal."""

    def isatty(self) -> bool:
        return True


def run(*arguments: str, terminal: bool = False) -> Finished:
    """Run a command in this process."""
    stdout, stderr = (Terminal() if terminal else io.StringIO() for _ in range(2))
    with redirect_stdout(stdout), redirect_stderr(stderr):
        try:
            exit_code = execute(arguments)
        except SystemExit as error:
            exit_code = int(error.code or 0)
    return Finished(exit_code, stdout.getvalue(), stderr.getvalue())


class Harness:
    """A served API, whose daemon is a fake, and commands for it."""

    def __init__(
        self, portal: BlockingPortal, daemon: FakeDaemon, upstream: FakeUpstream, url: str
    ) -> None:
        self._portal = portal
        self._daemon = daemon
        self.upstream = upstream
        self.url = url

    def run(self, *arguments: str, terminal: bool = False) -> Finished:
        """Run a command for this API."""
        return run(*arguments, "--url", self.url, terminal=terminal)

    def lines(self, *arguments: str) -> list[str]:
        """Run a command that succeeds; return the lines of its output."""
        finished = self.run(*arguments)
        assert (finished.exit_code, finished.stderr) == (0, ""), finished
        return finished.stdout.splitlines()

    def record(self, task_id: str, *statuses: str) -> None:
        """Store that a watched task changed to each of `statuses`."""
        self._portal.call(self._record, task_id, statuses)

    def record_once_added(self, task_id: str, *statuses: str) -> None:
        """Store the changes of a task as soon as a command adds it."""
        self._portal.start_task_soon(self._record_once_added, task_id, statuses)

    async def _record_once_added(self, task_id: str, statuses: Sequence[str]) -> None:
        while task_id not in self._daemon.tracked:
            await anyio.lowlevel.checkpoint()
        await self._record(task_id, statuses)

    async def _record(self, task_id: str, statuses: Sequence[str]) -> None:
        (watch,) = await self._daemon.store.find(task_id)
        for status in statuses:
            watch = await self._change(watch, status)
        self._daemon.outbox.set()

    async def _change(self, watch: Watch, status: str) -> Watch:
        change = step(watch, status, at=wall_clock())
        event = task_event(
            watch,
            observation(watch.key.task_id, status),
            namespace=None,
            sequence=change.watch.sequence,
            at=wall_clock(),
            event_id=new_event_id(),
            channels=("backend",),
        )
        await self._daemon.store.record([replace(change, event=event)])
        return change.watch

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the store."""
        return self._portal.call(getattr(self._daemon.store, method), *arguments)


@asynccontextmanager
async def _api(
    folder: Path, environ: dict[str, str]
) -> AsyncIterator[tuple[FakeDaemon, FakeUpstream, str]]:
    upstream = FakeUpstream()
    settings = mixpeek.Settings(
        base_url="https://upstream",
        api_key="sk_made_up",
        requests_per_minute=None,
        namespace="ns_1",
    )
    async with opened(folder, **environ) as (daemon, _), served(daemon) as client:
        daemon.upstream = mixpeek.create(
            settings,
            transport=transport(upstream),
            metrics=daemon.metrics.source("mixpeek"),
            wall=wall_clock,
        )
        yield daemon, upstream, str(client.base_url)


@contextmanager
def harness_in(folder: Path, **environ: str) -> Iterator[Harness]:
    """Serve an API with its store in `folder`."""
    with (
        start_blocking_portal("asyncio") as portal,
        portal.wrap_async_context_manager(_api(folder, environ)) as (daemon, upstream, url),
    ):
        yield Harness(portal, daemon, upstream, url)
