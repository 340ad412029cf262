"""A real Alertmanager on loopback, with the shipped configuration."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tests.shipped.prometheus import served
from tests.shipped.tools import ROOT, free_port, tool

SHIPPED = ROOT / "config/prometheus"


@asynccontextmanager
async def alertmanager(folder: Path, slack: str) -> AsyncIterator[httpx.AsyncClient]:
    """Run Alertmanager, which sends to the URL `slack`, without its patience; yields a client."""
    address = f"127.0.0.1:{free_port()}"
    (folder / "slack").write_text(slack)
    settings = (SHIPPED / "alertmanager.yaml").read_text()
    for shipped, hasty in (
        ("/run/secrets/slack-webhook", f"{folder}/slack"),
        ("group_wait: 30s", "group_wait: 500ms"),  # alerts of one request are grouped one by one
        ("group_interval: 5m", "group_interval: 200ms"),
    ):
        assert shipped in settings
        settings = settings.replace(shipped, hasty)
    (folder / "alertmanager.yaml").write_text(settings)
    shutil.copy(SHIPPED / "watcher.tmpl", folder)
    command = (
        tool("prometheus-alertmanager"),
        f"--config.file={folder}/alertmanager.yaml",
        f"--storage.path={folder}/alertmanager",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    )
    async with served(*command, address=address, log=folder / "alertmanager.log") as client:
        yield client
