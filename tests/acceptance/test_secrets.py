"""Secrets appear in no output."""

import base64
import json
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from tests.acceptance.daemon import PATIENCE, Daemon, Site, add

pytestmark = pytest.mark.anyio


CANARY = "canary-7f3a9c-2e"
SIGNING_KEY = base64.b64encode(CANARY.encode() * 3).decode()
TOKEN = {"authorization": f"Bearer {CANARY}"}
PATHS = (
    "/metrics",
    "/healthz",
    "/v1/watches",
    "/v1/deliveries",
    "/v1/channels",
    "/openapi.json",
)


def channels(folder: Path) -> list[dict[str, Any]]:
    """A channel of each type, whose settings contain the canary."""
    closed = f"http://127.0.0.1:1/services/T0/B0/{CANARY}"
    proxy = f"http://me:{CANARY}@127.0.0.1:1"
    return [
        {
            "name": "backend",
            "type": "webhook",
            "url_file": f"{folder}/url",
            "secrets_file": f"{folder}/secret",
            "headers": {"authorization": f"Bearer {CANARY}"},
        },
        {"name": "slack", "type": "slack", "url": closed},
        {"name": "proxied", "type": "slack", "url": closed, "proxy": proxy},
        {
            "name": "bot",
            "type": "slack",
            "bot_token": f"xoxb-{CANARY}",
            "slack_channel": "C1",
            "api_url": "http://127.0.0.1:1/",
        },
        {"name": "mail", "type": "apprise", "url": f"json://me:{CANARY}@127.0.0.1:1/{CANARY}"},
    ]


def settings(site: Site, folder: Path) -> dict[str, str]:
    """A configuration that contains the canary in variables, and in files in `folder`."""
    files = {"wrong-key": CANARY, "token": CANARY, "secret": f"whsec_{SIGNING_KEY}"}
    for name, content in {**files, "url": f"{site.hook}?{CANARY}"}.items():
        (folder / name).write_text(content)
    upstream = site.environ["MIXPEEK_BASE_URL"]
    locked = {"name": "locked", "api_key_file": f"{folder}/wrong-key", "base_url": upstream}
    routes = [{"channels": [channel["name"] for channel in channels(folder)]}]
    return {
        "WATCHER_SOURCES": json.dumps([{"base_url": upstream}, locked]),
        "WATCHER_CHANNELS": json.dumps(channels(folder)),
        "WATCHER_ROUTES": json.dumps(routes),
        "WATCHER_SERVER__API_TOKEN_FILE": f"{folder}/token",
        "WATCHER_LOG__LEVEL": "debug",
    }


async def failed_everywhere(client: httpx.AsyncClient, daemon: Daemon, channels: int) -> list[int]:
    """Wait until each channel was attempted and the invalid key rejected; return delivery IDs."""
    with anyio.fail_after(PATIENCE):
        while True:
            deliveries = (await client.get("/v1/deliveries")).json()["items"]
            attempted = {item["channel"] for item in deliveries if item["last_error"]}
            if len(attempted) == channels and any("locked" in line for line in daemon.log):
                return [item["id"] for item in deliveries]
            await anyio.sleep(0.05)


async def test_no_secret_is_in_a_log_a_response_an_output_or_an_argument(
    site: Site, tmp_path: Path
) -> None:
    environ = settings(site, tmp_path)
    site.upstream.set("task_1", "FAILED", error="boom")
    async with site.daemon(**environ) as daemon:
        await add(daemon, "task_1", headers=TOKEN)
        async with httpx.AsyncClient(base_url=daemon.url, trust_env=False, headers=TOKEN) as client:
            await client.post("/v1/watches", json={"task_id": "task_2", "source": "locked"})
            delivery_ids = await failed_everywhere(client, daemon, len(channels(tmp_path)))
            paths = [*PATHS, *(f"/v1/deliveries/{delivery_id}" for delivery_id in delivery_ids)]
            outputs = [(await client.get(path)).text for path in paths]
        outputs.append(await anyio.Path(f"/proc/{daemon.process.pid}/cmdline").read_text())
        assert await daemon.stop() == 0
    tested = await site.command(None, "channels", "test", **environ)
    assert tested.returncode == 1
    shown = await site.command(None, "config", "show", **environ)
    for finished in (tested, shown):
        outputs += [finished.stdout.decode(), finished.stderr.decode()]
    for secret in (CANARY, SIGNING_KEY):
        assert secret not in "\n".join([*outputs, *daemon.log])
