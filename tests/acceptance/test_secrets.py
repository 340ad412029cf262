"""Secrets appear in no output, whatever the peers that know them quote."""

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import httpx
import pytest

from tests.acceptance.daemon import PATIENCE, Daemon, Site
from tests.support.quoting_server import quoting_server
from tests.support.records import SECRET
from watcher.core.secret_parts import spellings

pytestmark = pytest.mark.anyio

CANARIES = {
    kind: f"canary-{kind}/7f3a9c+{kind}=="
    for kind in ("key", "second", "third", "token", "header", "bot", "beat", "query")
} | {kind: f"canary.{kind}~7f3a9c" for kind in ("path", "user", "proxy", "apprise")}
SIGNING_KEY = base64.b64encode(b"canary-signing-7f3a9c-canary").decode()
SECRETS = [*CANARIES.values(), SIGNING_KEY, SECRET.removeprefix("whsec_")]
WATCHES = {"task_1": "mixpeek", "task_odd": "mixpeek", "task_2": "rejecting", "task_3": "garbled"}
PATHS = (
    *("/metrics", "/healthz", "/v1/status", "/v1/watches", "/v1/deliveries", "/v1/channels"),
    *(f"/v1/watches/{task_id}" for task_id in WATCHES),
)
COMMANDS = (
    *("ls --json", "status", "channels test", "config show", "config check --live"),
    *("show task_1", "kill task_2 --source rejecting"),
)


def channels(base: str, folder: Path) -> list[dict[str, Any]]:
    """A channel that delivers, and channels whose receivers quote what they are sent."""
    rest = f"{CANARIES['path']}?code={quote(CANARIES['query'], safe='')}"
    basic = base64.b64encode(f"me:{CANARIES['user']}".encode()).decode()
    headers = {"x-key": CANARIES["header"], "authorization": f"Basic {basic}"}
    signed = {"type": "webhook", "headers": headers, "secrets_file": f"{folder}/signing"}
    proxy = base.replace("//", f"//me:{CANARIES['proxy']}@")
    api = {"bot_token": f"xoxb-{CANARIES['bot']}", "slack_channel": "C1"}
    apprise = f"json://me:{CANARIES['apprise']}@{base[7:]}apprise/{CANARIES['path']}"
    return [
        {"name": "backend", "type": "webhook", "url_file": f"{folder}/url", "secrets": [SECRET]},
        *(
            {"name": kind, "url": f"{base}{kind}/{rest}", **signed}
            for kind in ("forbidden", "location", "malformed", "header")
        ),
        {"name": "through", "url": "https://x.invalid/", "proxy": proxy, **signed},
        {"name": "closed", "url": f"http://127.0.0.1:1/{rest}", **signed},
        {"name": "slack", "type": "slack", "url": f"{base}slack/{rest}"},
        {"name": "bot", "type": "slack", **api, "api_url": f"{base}slack/"},
        {"name": "mail", "type": "apprise", "url": apprise},
    ]


def settings(base: str, folder: Path, hook: str) -> dict[str, str]:
    """A configuration with a canary of each kind, in variables and in files in `folder`."""
    files = {"token": CANARIES["token"], "third": CANARIES["third"], "url": hook}
    for name, content in {**files, "signing": f"whsec_{SIGNING_KEY}"}.items():
        (folder / name).write_text(f"{content}\n")
    sources = [
        {"name": "mixpeek", "base_url": f"{base}task", "api_key": CANARIES["key"]},
        {"name": "rejecting", "base_url": f"{base}rejected", "api_key": CANARIES["second"]},
        {"name": "garbled", "base_url": f"{base}malformed", "api_key_file": f"{folder}/third"},
    ]
    names = [channel["name"] for channel in channels(base, folder)]
    return {
        "WATCHER_SOURCES": json.dumps([{**s, "requests_per_minute": None} for s in sources]),
        "WATCHER_POLLING__MODE": "get",
        "WATCHER_CHANNELS": json.dumps(channels(base, folder)),
        "WATCHER_ROUTES": json.dumps([{"channels": names, "events": ["*"], "initial": True}]),
        "WATCHER_SERVER__API_TOKEN_FILE": f"{folder}/token",
        "WATCHER_HEARTBEAT__URL": f"{base}beat/{quote(CANARIES['beat'], safe='')}",
        "WATCHER_LOG__LEVEL": "debug",
    }


async def failed_everywhere(client: httpx.AsyncClient) -> list[int]:
    """Wait until a delivery of each channel and each poll has failed; return the deliveries."""
    with anyio.fail_after(PATIENCE):
        while True:
            status = (await client.get("/v1/status")).json()
            known = {watch["status"] for watch in (await client.get("/v1/watches")).json()["items"]}
            failing = [channel["name"] for channel in status["channels"] if channel["reason"]]
            down = [source["name"] for source in status["sources"] if not source["up"]]
            if (len(failing), len(down), len(known)) == (9, 1, 3):
                return [item["id"] for item in (await client.get("/v1/deliveries")).json()["items"]]
            await anyio.sleep(0.05)


async def shown_by(site: Site, daemon: Daemon, environ: dict[str, str]) -> dict[str, str]:
    """Return what the API and the commands show when everything has failed."""
    shown = {"arguments": await anyio.Path(f"/proc/{daemon.process.pid}/cmdline").read_text()}
    headers = {"authorization": f"Bearer {CANARIES['token']}"}
    async with daemon.client(headers) as client:
        watches = [{"task_id": task_id, "source": source} for task_id, source in WATCHES.items()]
        (await client.post("/v1/watches", json=watches)).raise_for_status()
        attempts = [f"/v1/deliveries/{number}" for number in await failed_everywhere(client)]
        for path in (*PATHS, *attempts):
            shown[path] = (await client.get(path)).text
    environ = {**environ, "WATCHER_API_TOKEN": CANARIES["token"]}
    for arguments in COMMANDS:
        finished = await site.command(daemon, *arguments.split(), **environ)
        shown[arguments] = (finished.stdout + finished.stderr).decode()
    return shown


def stored_in(folder: Path) -> dict[str, str]:
    """Return the contents of the store's files."""
    files = folder.glob("watcher.db*")
    return {path.name: path.read_bytes().decode(errors="replace") for path in files}


def secrets_in(text: str) -> list[str]:
    """Return each secret of which a spelling is in `text`, with what is around it."""
    return [
        f"{secret}: {text[max(text.index(spelling) - 200, 0) :][:400]}"
        for secret in SECRETS
        for spelling in spellings(secret)
        if spelling in text
    ]


async def test_no_secret_is_in_an_output_whatever_peers_quote(site: Site, tmp_path: Path) -> None:
    async with quoting_server() as base:
        environ = settings(base, tmp_path, site.hook)
        async with site.daemon(**environ) as daemon:
            shown = await shown_by(site, daemon, environ)
            shown |= stored_in(tmp_path)
            assert await daemon.stop() == 0
        async with site.daemon(**environ, WATCHER_LOG__FORMAT="text") as second:
            assert await second.stop() == 0
    shown["log"] = "\n".join(daemon.log + second.log)
    shown["messages"] = "\n".join(received.body.decode() for received in site.receiver.received)
    for name in ("messages", "/v1/status", "/v1/watches", "watcher.db-wal", "channels test", "log"):
        assert "********" in shown[name], name
    assert {name: found for name, text in shown.items() if (found := secrets_in(text))} == {}
