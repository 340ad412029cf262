"""A header from a file follows the file while the daemon runs."""

import json
from pathlib import Path

import pytest
from aiohttp import web

from tests.acceptance.daemon import Site, add

pytestmark = pytest.mark.anyio


async def test_a_header_that_rotates_is_read_again(site: Site, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("Bearer canary-1\n")
    channel = json.loads(site.environ["WATCHER_CHANNELS"])[0]
    channel["headers"] = {"Authorization": {"file": str(token)}}
    environ = {"WATCHER_CHANNELS": json.dumps([channel])}
    sent = []

    async def note(request: web.Request) -> web.StreamResponse:
        sent.append(request.headers["authorization"])
        return web.Response()

    site.receiver.fault = note
    site.upstream.set("task_1", "FAILED")
    site.upstream.set("task_2", "FAILED")
    async with site.daemon(**environ) as daemon:
        await add(daemon, "task_1")
        await site.until(lambda: len(sent) == 1)
        replacement = tmp_path / "replacement"
        replacement.write_text("Bearer canary-2\n")
        replacement.rename(token)
        await site.until(lambda: any("reloaded" in line for line in daemon.messages()))
        await add(daemon, "task_2")
        await site.until(lambda: len(sent) == 2)
        shown = await site.command(None, "config", "show", **environ)
    assert sent == ["Bearer canary-1", "Bearer canary-2"]
    output = (shown.stdout + shown.stderr).decode()
    assert shown.returncode == 0
    assert "Authorization" in output
    assert "canary" not in "\n".join([output, *daemon.log])
