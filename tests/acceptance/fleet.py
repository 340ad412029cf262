"""Several daemons that share a store and a configuration file."""

import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio

from tests.acceptance.daemon import PATIENCE, Daemon, Site, add
from tests.support.records import SECRET

TOKEN = "a-token-of-at-least-16"
HEADERS = {"authorization": f"Bearer {TOKEN}"}


class FleetSite:
    """A site whose daemons read channels and routes from a file, with a token for the API."""

    def __init__(self, site: Site, folder: Path, store: str) -> None:
        self.site = site
        self._file = folder / "watcher.yaml"
        for name in ("WATCHER_CHANNELS", "WATCHER_ROUTES"):
            del site.environ[name]
        site.environ |= {
            "WATCHER_CONFIG": str(self._file),
            "WATCHER_API_TOKEN": TOKEN,
            "WATCHER_STORE__URL": store,
        }
        self.write()

    def write(self, *, more: bool = False) -> None:
        """Write the configuration; with `more` it has another channel, which gets all events."""
        webhook = {"type": "webhook", "url": self.site.hook, "secrets": [SECRET]}
        slack = f"{self.site.hook.removesuffix('/hook')}/slack"
        channels: list[Mapping[str, object]] = [
            {**webhook, "name": "backend", "attempts": ["0s", "0s"]},
            {"name": "team", "type": "slack", "url": slack},
        ]
        routes: list[Mapping[str, object]] = [
            {"channels": ["backend"], "events": ["task.*"], "initial": True},
            {"channels": ["team"], "events": ["task.lost"]},
        ]
        if more:
            channels.append({**webhook, "name": "audit"})
            routes.append({"channels": ["audit"], "events": ["task.*"]})
        self._file.write_text(json.dumps({"channels": channels, "routes": routes}))

    async def reload(self, daemon: Daemon) -> None:
        """Let a daemon read the configuration again; return once it has."""
        before = daemon.messages().count("configuration reloaded")
        daemon.process.send_signal(signal.SIGHUP)
        await self.site.until(lambda: daemon.messages().count("configuration reloaded") > before)

    async def show(self, daemon: Daemon, status: str, *task_ids: str) -> None:
        """Let upstream show a status of tasks, watch them, and wait until all have been sent."""
        kind = f"task.{status.lower()}"
        before = self.site.event_types().count(kind)
        for task_id in task_ids:
            self.site.upstream.set(task_id, status)
        await add(daemon, *task_ids, headers=HEADERS)
        await self.site.until_received(kind, before + len(task_ids))


async def answer(daemon: Daemon, method: str, path: str, **body: Any) -> Any:
    async with daemon.client(HEADERS) as client:
        response = await client.request(method, path, json=body or None)
        assert response.is_success, response.text
        return response.json() if response.content else None


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    with anyio.fail_after(PATIENCE):
        while not await condition():
            await anyio.sleep(0.05)


async def until_divided(daemons: Sequence[Daemon], *units: int) -> None:
    """Wait until each of the daemons shows so many slices of the live ones, from few to many."""

    async def divided() -> bool:
        shown = [(await answer(one, "GET", "/v1/status"))["replicas"] for one in daemons]
        return all(sorted(one["units"] for one in replicas) == [*units] for replicas in shown)

    await until(divided)


async def until_active(daemons: Sequence[Daemon], count: int) -> None:
    """Wait until all daemons show so many active watches."""

    async def shown() -> bool:
        statuses = [await answer(one, "GET", "/v1/status") for one in daemons]
        return all(one["sources"][0]["active_watches"] == count for one in statuses)

    await until(shown)


@asynccontextmanager
async def stream(
    daemon: Daemon, path: str, field: str, **headers: str
) -> AsyncIterator[Callable[[], Awaitable[str]]]:
    """Yield a function that returns the next value of a field of a stream."""
    async with (
        daemon.client(HEADERS) as client,
        client.stream("GET", path, headers=headers) as response,
    ):
        lines = response.aiter_lines()

        async def following() -> str:
            with anyio.fail_after(PATIENCE):
                async for line in lines:
                    if line.startswith(f"{field}: "):
                        return line.removeprefix(f"{field}: ")
            raise AssertionError(f"{path} has ended")

        yield following
