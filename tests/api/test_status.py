"""`GET /v1/status`."""

from pathlib import Path

import pytest

from tests.api.harness import opened, outbox_of_two

pytestmark = pytest.mark.anyio


async def test_the_status_shows_all_parts_and_what_needs_a_person(tmp_path: Path) -> None:
    async with opened(tmp_path) as (daemon, api):
        await outbox_of_two(daemon, api)
        await daemon.pause("backend", "maintenance")
        response = await api.get("/v1/status")
        assert response.status_code == 200
        shown = response.json()
    assert (shown["started_at"], shown["uptime_seconds"]) == ("2023-11-14T22:11:40.000000Z", 100.0)
    (replica,) = shown["replicas"]
    assert (replica["version"], replica["units"]) == (shown["version"], 2)
    (source,) = shown["sources"]
    assert source["up"] is False
    assert source["budget_left"] == {"GET /v1/tasks/{task_id}": 3.2, "POST /v1/tasks/list": None}
    assert (source["active_watches"], source["requests_per_minute"]) == (3, 7)
    (channel,) = shown["channels"]
    assert (channel["state"], channel["pending"], channel["failed"]) == ("paused", 1, 1)
    assert shown["watches"] == {"FAILED": 1, "PENDING": 2, "UNSEEN": 1}
    assert len(shown["transitions_per_minute"]) == 60
    assert [item["kind"] for item in shown["attention"]] == [
        "source_down",
        "channel_paused",
        "deliveries_failed",
    ]
