"""The served OpenAPI document against the served API: schemathesis finds no fault."""

import json
import sys
from pathlib import Path

import anyio
import pytest

from tests.acceptance.daemon import add, site_in

pytestmark = pytest.mark.anyio

TOKEN = "made-up-api-token"


async def test_schemathesis_finds_no_fault(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        for number in range(20):
            site.upstream.set(f"task_{number}", "FAILED" if number % 2 else "IN_PROGRESS")
        source = [{"requests_per_minute": None, "namespace": "ns_1"}]
        async with site.daemon(
            WATCHER_SERVER__API_TOKEN=TOKEN, WATCHER_SOURCES=json.dumps(source)
        ) as daemon:
            await add(
                daemon,
                *(f"task_{number}" for number in range(20)),
                headers={"authorization": f"Bearer {TOKEN}"},
            )
            command = [
                str(Path(sys.executable).with_name("schemathesis")),
                *(
                    "run",
                    f"{daemon.url}/openapi.json",
                    "--header",
                    f"Authorization: Bearer {TOKEN}",
                ),
                *(
                    "--max-examples",
                    "20",
                    "--seed",
                    "7",
                    "--generation-database",
                    "none",
                    "--no-color",
                ),
                *("--exclude-path", "/v1/events"),  # a stream without an end
                *("--request-timeout", "30", "--workers", "1"),
            ]
            with anyio.fail_after(400):
                done = await anyio.run_process(command, check=False, cwd=tmp_path)
            said = done.stdout.decode()
            assert done.returncode == 0, said
            assert await daemon.stop() == 0
            assert not daemon.messages("error")
