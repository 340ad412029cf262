"""Prometheus and Alertmanager with the shipped rules, and a stand-in for Slack, for
`bench.monitoring`.
"""

import asyncio
import json
import os
import re
import shutil
import time
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml
from aiohttp import web

from bench.monitored import port
from watcher.testing.loopback import served

SHIPPED = Path(__file__).parents[1] / "config/prometheus"
PATIENCE = 60.0
_ANCHOR = re.compile(r"#(watcher[a-z]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message that Slack got at the Unix time `at`; `alerts` are the alerts' names in lower
    case, from the links to their runbooks, and `content` is all of it, as JSON.
    """

    at: float
    title: str
    resolved: bool
    alerts: frozenset[str]
    content: str

    def names(self, target: str) -> bool:
        """Return whether the message is about the daemon at this address."""
        return bool(re.search(rf"{re.escape(target)}(?!\d)", self.content))


def message(content: Mapping[str, Any], at: float) -> Message:
    """Return what Alertmanager sent to Slack."""
    (attachment,) = content["attachments"]
    text = json.dumps(content, ensure_ascii=False)
    return Message(
        at=at,
        title=attachment.get("title") or "",
        resolved=attachment.get("color") == "good",
        alerts=frozenset(_ANCHOR.findall(text)),
        content=text,
    )


class Slack:
    """Takes every message."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Serve on loopback; yields the URL of the incoming webhook."""
        app = web.Application()
        app.router.add_post("/services/{path:.*}", self._take)
        async with served(app) as url:
            yield f"{url}/services/T0/B0/made-up"

    async def _take(self, request: web.Request) -> web.Response:
        self.messages.append(message(await request.json(), time.time()))
        return web.Response(text="ok")


def program(name: str) -> str:
    """Return the path of a program, or end with the package that has it."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        raise SystemExit(f"{name} is missing; .ci/install brings it")
    return found


@asynccontextmanager
async def process(*command: str, log: Path) -> AsyncIterator[None]:
    """Run a program, and end it with the block."""
    with log.open("wb") as output:
        running = await asyncio.create_subprocess_exec(
            *command, stdin=DEVNULL, stdout=output, stderr=output
        )
    try:
        yield
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()


@asynccontextmanager
async def alertmanager(folder: Path, slack_url: str) -> AsyncIterator[int]:
    """Run Alertmanager with the shipped configuration; yields its port. Only the path of Slack's
    URL is another.
    """
    (folder / "slack").write_text(slack_url)
    shipped = (SHIPPED / "alertmanager.yaml").read_text()
    file = folder / "alertmanager.yaml"
    file.write_text(shipped.replace("/run/secrets/slack-webhook", str(folder / "slack")))
    for template in SHIPPED.glob("*.tmpl"):
        shutil.copy(template, folder)
    number = port()
    async with process(
        program("prometheus-alertmanager"),
        f"--config.file={file}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address=127.0.0.1:{number}",
        "--cluster.listen-address=",
        log=folder / "alertmanager.log",
    ):
        yield number


class Prometheus:
    """A Prometheus that runs."""

    def __init__(self, client: httpx.AsyncClient, number: int) -> None:
        self._client = client
        self.url = f"http://127.0.0.1:{number}"

    async def firing(self, since: float) -> Mapping[str, Sequence[tuple[str, float, float]]]:
        """Return for each instance its alerts that fired, inhibited or not: name, first and last
        Unix time.
        """
        query = {
            "query": 'ALERTS{alertstate="firing"}',
            "start": str(since),
            "end": str(time.time()),
            "step": "15",
        }
        response = await self._client.get(f"{self.url}/api/v1/query_range", params=query)
        found: dict[str, list[tuple[str, float, float]]] = {}
        for series in response.json()["data"]["result"]:
            times = [at for at, _ in series["values"]]
            instance = series["metric"].get("instance", "")
            entry = (series["metric"]["alertname"], times[0], times[-1])
            found.setdefault(instance, []).append(entry)
        return found

    async def ready(self) -> bool:
        """Return whether it answers."""
        try:
            return (await self._client.get(f"{self.url}/-/ready")).is_success
        except httpx.HTTPError:
            return False


@asynccontextmanager
async def prometheus(
    folder: Path, client: httpx.AsyncClient, path: str, targets: Sequence[str], alerts_to: int
) -> AsyncIterator[Prometheus]:
    """Run Prometheus with the shipped rules and configuration; only the addresses are others."""
    for rules in SHIPPED.glob("watcher-rules*.yaml"):
        shutil.copy(rules, folder)
    settings = yaml.safe_load((SHIPPED / "prometheus.yaml").read_text())
    (job,) = settings["scrape_configs"]
    job["static_configs"] = [{"targets": [*targets]}]
    (receiver,) = settings["alerting"]["alertmanagers"]
    receiver["static_configs"] = [{"targets": [f"127.0.0.1:{alerts_to}"]}]
    file = folder / "prometheus.yaml"
    file.write_text(yaml.safe_dump(settings))
    number = port()
    async with process(
        program(path),
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address=127.0.0.1:{number}",
        log=folder / "prometheus.log",
    ):
        running = Prometheus(client, number)
        async with asyncio.timeout(PATIENCE):
            while not await running.ready():
                await asyncio.sleep(0.2)
        yield running
