"""What a daemon does not use, it does not import: each library costs time and memory."""

import json
import re
import subprocess
from pathlib import Path

import anyio
import httpx
import pytest

from tests.acceptance.daemon import COMMAND, PATIENCE, Site

pytestmark = pytest.mark.anyio

_IMPORTED = re.compile(r"^import time:.*\| +([\w.]+)$", re.MULTILINE)
_LISTENS = re.compile(r"the API listens on (http://[\d.:]+)")
UNUSED = {
    "rich": "a terminal",
    "pygments": "a terminal",
    "fastapi": "a request of the API",
    "opentelemetry": "a request of the API",
    "watcher.api.app": "a request of the API",
    "jinja2": "a request for a page",
    "cryptography": "an Ed25519 secret",
    "apprise": "a channel of type apprise",
}
"""Libraries, and what needs each."""


def imported(log: Path) -> set[str]:
    """Return the modules that have been imported, and the packages that they are in."""
    names = _IMPORTED.findall(log.read_text())
    return {".".join(name.split(".")[:end]) for name in names for end in range(1, 4)}


async def test_a_daemon_with_a_webhook_and_slack_imports_what_they_need(
    site: Site, tmp_path: Path
) -> None:
    slack = {"name": "chat", "type": "slack", "url": site.hook}
    channels = [*json.loads(site.environ["WATCHER_CHANNELS"]), slack]
    environ = {
        **site.environ,
        "WATCHER_CHANNELS": json.dumps(channels),
        "PYTHONPROFILEIMPORTTIME": "1",
    }
    log = tmp_path / "imports"
    with log.open("wb") as output:
        process = await anyio.open_process(
            [COMMAND, "run"], env=environ, stdin=subprocess.DEVNULL, stderr=output
        )
    async with process:
        try:
            with anyio.fail_after(PATIENCE):
                while (listens := _LISTENS.search(log.read_text())) is None:
                    await anyio.sleep(0.05)
                async with httpx.AsyncClient(base_url=listens[1], trust_env=False) as client:
                    for path in ("/healthz", "/readyz", "/metrics"):
                        assert (await client.get(path)).status_code == 200
                    early = imported(log)
                    assert (await client.get("/v1/status")).status_code == 200
                    late = imported(log)
        finally:
            process.terminate()
            await process.wait()

    assert {"aiohttp", "aiosqlite", "watcher.channels.slack"} <= early
    assert early & UNUSED.keys() == set()
    assert late & UNUSED.keys() == {"fastapi", "opentelemetry", "watcher.api.app"}
