"""The receivers in examples/, each as a process that the daemon sends to."""

import hashlib
import hmac
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import httpx
import pytest
from anyio.abc import Process

from tests.acceptance.daemon import PATIENCE, Daemon, Site, add, site_in
from tests.shipped.tools import ROOT, TOOLS, free_port, lacking, run, tool
from tests.support.records import SECRET

pytestmark = pytest.mark.anyio

EXAMPLES = ROOT / "examples"
NEW_SECRET = "whsec_" + b64encode(bytes(range(32))).decode()
"""Signs as well, while a secret is rotated; the receiver does not know it yet."""
Command = Callable[[Path, int], list[str]]
"""Prepares a copy of an example in a folder; returns how to run it on a port."""


def fastapi(folder: Path, port: int) -> list[str]:
    return [sys.executable, "-m", "uvicorn", "receiver:app", "--port", str(port)]


def flask(folder: Path, port: int) -> list[str]:
    return [sys.executable, "-m", "waitress", f"--listen=127.0.0.1:{port}", "receiver:app"]


def express(folder: Path, port: int) -> list[str]:
    modules = TOOLS / "express/node_modules"
    if not modules.is_dir():
        lacking("what examples/express imports")
    (folder / "node_modules").symlink_to(modules.resolve())
    return [tool("node"), "receiver.js"]


def go(folder: Path, port: int) -> list[str]:
    cache = TOOLS.resolve()
    if not (cache / "go-modules").is_dir():
        lacking("what examples/go imports")
    environ = {
        **os.environ,
        **{"GOMODCACHE": f"{cache}/go-modules", "GOCACHE": f"{cache}/go-build"},
        **{"GOPROXY": "off", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"},
    }
    run(tool("go"), "vet", ".", cwd=folder, env=environ)
    run(tool("go"), "build", "-o", "receiver", ".", cwd=folder, env=environ)
    return [str(folder / "receiver")]


@dataclass
class Example:
    """One example, which may be started several times."""

    folder: Path
    port: int
    command: list[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks/tasks"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def processed(self) -> list[str]:
        """Return the IDs of the webhooks that were processed, as logged."""
        return re.findall(r"^processed (msg_\S+)", self.log, re.MULTILINE)

    def duplicates(self) -> list[str]:
        return re.findall(r"^duplicate (msg_\S+)", self.log, re.MULTILINE)

    @asynccontextmanager
    async def process(self) -> AsyncIterator[Process]:
        """Run the example; kill it at the end if it still runs."""
        environ = {**os.environ, "WEBHOOK_SECRET": SECRET, "PORT": str(self.port)}
        with (self.folder / "log").open("ab") as log:
            process = await anyio.open_process(
                self.command,
                cwd=self.folder,
                env={**environ, "PYTHONUNBUFFERED": "1", "NODE_ENV": "production"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            await self._listening(process)
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            with anyio.CancelScope(shield=True):
                await process.wait()
                await process.aclose()

    async def _listening(self, process: Process) -> None:
        with anyio.fail_after(PATIENCE):
            while process.returncode is None:
                try:
                    await (await anyio.connect_tcp("127.0.0.1", self.port)).aclose()
                except OSError:
                    await anyio.sleep(0.05)
                else:
                    return
        pytest.fail(self.log)


@pytest.fixture(params=[fastapi, flask, express, go], ids=lambda one: one.__name__)
def example(request: pytest.FixtureRequest, tmp_path: Path) -> Example:
    prepare: Command = request.param
    folder = tmp_path / "example"
    ignored = shutil.ignore_patterns("__pycache__", "node_modules", "*.db*")
    shutil.copytree(EXAMPLES / request.param.__name__, folder, ignore=ignored)
    port = free_port()
    return Example(folder, port, prepare(folder, port))


@asynccontextmanager
async def daemon_for(example: Example, site: Site) -> AsyncIterator[Daemon]:
    """Run a daemon whose only channel is the example."""
    channel = {
        **{"name": "backend", "type": "webhook", "url": example.url},
        **{"secrets": [NEW_SECRET, SECRET], "attempts": ["0s"] + ["100ms"] * 99},
    }
    async with site.daemon(WATCHER_CHANNELS=json.dumps([channel])) as daemon:
        yield daemon


def signed(body: bytes, *, event_id: str, at: float, secret: str = SECRET) -> dict[str, str]:
    """Return the headers of a webhook, signed without any code of the watcher or of the library."""
    content = f"{event_id}.{int(at)}.".encode() + body
    digest = hmac.new(b64decode(secret.removeprefix("whsec_")), content, hashlib.sha256).digest()
    return {
        "content-type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": str(int(at)),
        "webhook-signature": f"v1,{b64encode(digest).decode()}",
    }


BODY = json.dumps(
    {
        "type": "task.failed",
        "timestamp": "2026-11-23T07:00:00.123456Z",
        "data": {"task_id": "task_1", "error_message": "CUDA out of memory", "sequence": 1},
    }
).encode()


async def test_only_what_is_signed_is_accepted(example: Example) -> None:
    now = time.time()
    good = signed(BODY, event_id="msg_1", at=now)
    forged: list[tuple[bytes, dict[str, str]]] = [
        (BODY.replace(b"failed", b"FAILED"), good),
        (BODY, {**good, "webhook-id": "msg_2"}),
        (BODY, signed(BODY, event_id="msg_1", at=now, secret=NEW_SECRET)),
        (BODY, signed(BODY, event_id="msg_1", at=now - 3600)),
        (BODY, signed(BODY, event_id="msg_1", at=now + 3600)),
        (BODY, {"content-type": "application/json"}),
        (b"", {**good}),
        (b"\xff\xfe", {**good}),
        *(
            (BODY, {**good, name: text})
            for name in ("webhook-timestamp", "webhook-signature")
            for text in ("", "x", "v1", "v1,", "v1,é", "v1,x,y", "nan", "9" * 400, ",, v1 ,")
        ),
    ]
    async with example.process(), httpx.AsyncClient(trust_env=False) as client:
        for body, headers in forged:
            sent = [(name.encode(), text.encode()) for name, text in headers.items()]
            answer = await client.post(example.url, content=body, headers=sent)
            assert answer.status_code == 401, (headers, body, example.log)
        too_large = await client.post(example.url, content=b" " * 3_000_000, headers=good)
        assert too_large.status_code == 413
        assert (await client.get(example.url)).status_code in (404, 405)

        for _ in range(2):
            assert (await client.post(example.url, content=BODY, headers=good)).status_code == 204
        with anyio.fail_after(PATIENCE):
            while not example.processed():
                await anyio.sleep(0.02)
    assert example.processed() == example.duplicates() == ["msg_1"]
    assert "task_1 failed: CUDA out of memory" in example.log
    assert "Traceback" not in example.log


async def test_what_the_daemon_sends_is_processed_once(example: Example, tmp_path: Path) -> None:
    async with site_in(tmp_path) as site, daemon_for(example, site) as daemon:
        async with example.process() as process:
            for status in ("FAILED", "COMPLETED", "IN_PROGRESS"):
                site.upstream.set(f"task_{status}", status)
                await add(daemon, f"task_{status}")
            await site.until(lambda: len(example.processed()) == 3)
            await replay(site, daemon)
            await site.until(lambda: len(example.duplicates()) == 3)
            process.send_signal(signal.SIGKILL)
            await process.wait()
        # Paused, for a channel that is down is tried less and less often. The receiver has crashed,
        # and knows what it knew.
        await done(site, daemon, "channels", "pause", "backend")
        await replay(site, daemon)
        site.upstream.set("task_IN_PROGRESS", "FAILED")
        async with example.process() as process:
            await done(site, daemon, "channels", "resume", "backend")
            await site.until(lambda: len(example.processed()) == 4)
            await site.until(lambda: len(example.duplicates()) == 6)
            process.send_signal(signal.SIGTERM)
            with anyio.fail_after(PATIENCE):
                await process.wait()
        deliveries = await site.json(daemon, "deliveries")
    assert {item["state"] for item in deliveries} == {"delivered"}
    assert {item["event_id"] for item in deliveries} == {*example.processed()}
    assert len(deliveries) == len(example.processed()) == 4
    assert sorted(example.duplicates()) == sorted(example.processed()[:3] * 2)


async def replay(site: Site, daemon: Daemon) -> None:
    await done(site, daemon, "replay", "--channel", "backend", "--since", "1h")


async def done(site: Site, daemon: Daemon, *arguments: str) -> None:
    """Run a command, which succeeds."""
    finished = await site.command(daemon, *arguments)
    assert finished.returncode == 0, finished.stderr.decode()


def test_the_python_examples_share_their_inbox() -> None:
    one, other = (EXAMPLES / name / "inbox.py" for name in ("fastapi", "flask"))
    assert one.read_text() == other.read_text()


def test_each_command_of_the_readme_is_the_one_that_is_tested() -> None:
    text = (EXAMPLES / "README.md").read_text()
    for command in ("uvicorn receiver:app", "waitress-serve --listen=127.0.0.1:8000 receiver:app"):
        assert command in text
    package = json.loads((EXAMPLES / "express/package.json").read_text())
    assert package["scripts"]["start"] == "node receiver.js"
    lock = json.loads((EXAMPLES / "express/package-lock.json").read_text())
    assert lock["packages"][""]["dependencies"] == package["dependencies"]
