"""A real Prometheus on loopback."""

import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx

from tests.acceptance.daemon import PATIENCE
from tests.shipped.tools import free_port, tool


@contextmanager
def process(*command: str | Path, log: Path) -> Iterator[None]:
    """Run a program, which writes to `log`, until the end of the block."""
    with (
        log.open("w") as said,
        subprocess.Popen([str(one) for one in command], stdout=said, stderr=said) as running,
    ):
        try:
            yield
        finally:
            running.terminate()


class Prometheus:
    """The HTTP API of a running Prometheus."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._http = client

    async def query(self, expression: str, at: float | None = None) -> list[Mapping[str, Any]]:
        """Return the series of a query, as of now or of `at`, in Unix seconds."""
        parameters = {"query": expression} | ({} if at is None else {"time": f"{at:.3f}"})
        answer = await self._http.post("/api/v1/query", data=parameters)
        assert answer.is_success, f"{expression}: {answer.text}"
        found: list[Mapping[str, Any]] = answer.json()["data"]["result"]
        return found

    async def values(self, label: str, selector: str) -> list[str]:
        """Return the values that a label has in the selected series."""
        answer = await self._http.get(f"/api/v1/label/{label}/values", params={"match[]": selector})
        assert answer.is_success, f"{selector}: {answer.text}"
        found: list[str] = answer.json()["data"]
        return found

    async def until(self, expression: str) -> None:
        """Wait until a query returns series."""
        with anyio.fail_after(PATIENCE):
            while not await self.query(expression):
                await anyio.sleep(0.1)


@asynccontextmanager
async def prometheus(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Run Prometheus with `folder/prometheus.yaml`; yields a client of its API."""
    address = f"127.0.0.1:{free_port()}"
    command = (
        tool("prometheus"),
        f"--config.file={folder}/prometheus.yaml",
        f"--storage.tsdb.path={folder}/prometheus",
        f"--web.listen-address={address}",
    )
    async with served(*command, address=address, log=folder / "prometheus.log") as client:
        yield client


@asynccontextmanager
async def served(*command: str | Path, address: str, log: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Run Prometheus or Alertmanager; yields a client of its API once it is ready."""
    with process(*command, log=log):
        async with httpx.AsyncClient(
            base_url=f"http://{address}", trust_env=False, timeout=PATIENCE
        ) as client:
            with anyio.fail_after(PATIENCE):
                while not await _ready(client):
                    await anyio.sleep(0.1)
            yield client


async def _ready(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/-/ready")).is_success
    except httpx.TransportError:
        return False
