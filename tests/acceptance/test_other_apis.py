"""Five other APIs beside each other: every end is delivered, with its type, error and fields."""

import json
import time
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.acceptance.daemon import Daemon, Site
from tests.support.task_apis import COUNT, KINDS, Kind, serve, settings_of

pytestmark = pytest.mark.anyio

ENDS = ("task.completed", "task.failed")


async def watch(daemon: Daemon, api: Kind) -> None:
    entries = [{"task_id": task_id, "source": api.name} for task_id in api.task_ids()]
    async with daemon.client() as client:
        (await client.post("/v1/watches", json=entries)).raise_for_status()


def ends(site: Site) -> list[dict[str, Any]]:
    accepted = site.receiver.accepted()
    return [one.event["data"] for one in accepted if one.event["type"] in ENDS]


async def test_every_end_at_five_apis_is_delivered_with_its_error_and_fields(site: Site) -> None:
    apis = [kind() for kind in KINDS]
    async with AsyncExitStack() as servers:
        sources = [
            settings_of(api, await servers.enter_async_context(serve(api, time.monotonic)))
            for api in apis
        ]
        # What is for Mixpeek changes nothing for them.
        environ = {
            "WATCHER_SOURCES": json.dumps(sources),
            "WATCHER_ROUTES": json.dumps([{"channels": ["backend"], "initial": True}]),
            "MIXPEEK_API_KEY": "sk_other",
            "MIXPEEK_BASE_URL": "http://127.0.0.1:9",
        }
        async with site.daemon(**environ) as daemon:
            for api in apis:
                await watch(daemon, api)
            await site.until_received("task.in_progress", COUNT * len(apis))
            for api in apis:
                api.ended = True
            await site.until(lambda: len(ends(site)) >= COUNT * len(apis))
            assert await daemon.stop() == 0
    by_task = {(one["source"], one["task_id"]): one for one in ends(site)}
    assert len(by_task) == len(ends(site)) == COUNT * len(apis)
    for api in apis:
        assert api.counted.exceeded == 0
        for number, task_id in enumerate(api.task_ids()):
            data = by_task[api.name, task_id]
            assert (data["status"] == "FAILED") == api.failed(number)
            if api.failed(number) and api.name != "github":  # which has no error
                assert data["error_message"] == f"line {number}"
            fields = api.expected_fields(number).items()
            assert fields <= data["additional_data"].items()
            assert data["upstream_status"].lower() != "in_progress"
    assert all(one.verified for one in site.receiver.accepted())
