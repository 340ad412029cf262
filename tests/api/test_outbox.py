"""Deliveries and channels."""

import httpx
import pytest

from tests.api.harness import FakeDaemon, outbox_of_two, problem

pytestmark = pytest.mark.anyio


async def test_the_outbox_is_listed_and_retried(api: httpx.AsyncClient, daemon: FakeDaemon) -> None:
    await outbox_of_two(daemon, api)
    seen = daemon.outbox.generation

    (failed,) = (await api.get("/v1/deliveries?state=failed")).json()["items"]
    retried = await api.post(f"/v1/deliveries/{failed['id']}/retry")

    assert list(failed) == [
        "id",
        "event_id",
        "type",
        "task_id",
        "channel",
        "state",
        "attempts",
        "next_attempt_at",
        "last_error",
        "last_status",
        "created_at",
        "delivered_at",
    ]
    assert (retried.status_code, retried.json()["state"]) == (202, "pending")
    assert daemon.outbox.generation > seen
    for missing in ("99", "0", str(2**70)):
        problem(await api.post(f"/v1/deliveries/{missing}/retry"), 404)


async def test_a_channel_is_replayed(api: httpx.AsyncClient, daemon: FakeDaemon) -> None:
    await outbox_of_two(daemon, api)
    queued = await api.post("/v1/channels/backend/replay", json={"since": "1970-01-01T00:00:00Z"})
    assert (queued.status_code, queued.json()) == (202, {"queued": 1})
    for chosen in ({"statuses": ["completed"]}, {"task_ids": ["another"]}):
        none = await api.post(
            "/v1/channels/backend/replay", json={"since": "1970-01-01T00:00:00Z", **chosen}
        )
        assert none.json() == {"queued": 0}
    problem(
        await api.post("/v1/channels/unknown/replay", json={"since": "1970-01-01T00:00:00Z"}), 404
    )
    for since in ("yesterday", "2026-01-01T00:00:00", ""):
        problem(await api.post("/v1/channels/backend/replay", json={"since": since}), 422)


async def test_channels_are_listed_paused_and_resumed(
    api: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    (shown,) = (await api.get("/v1/channels")).json()["items"]
    assert shown == {
        "name": "backend",
        "type": "webhook",
        "state": "running",
        "reason": None,
        "since": None,
        "pending": 0,
        "oldest_pending_at": None,
        "failed": 0,
    }
    paused = await api.post("/v1/channels/backend/pause", json={"reason": "we move"})
    assert (paused.status_code, paused.json()["state"], paused.json()["reason"]) == (
        200,
        "paused",
        "we move",
    )
    assert (await api.post("/v1/channels/backend/resume")).json()["state"] == "running"
    assert (await api.post("/v1/channels/backend/pause")).json()["reason"] == "no reason was given"
    problem(await api.post("/v1/channels/unknown/pause"), 404)
    problem(await api.post("/v1/channels/unknown/resume"), 404)
    problem(await api.post("/v1/channels/backend/pause", json={"reason": ""}), 422)


async def test_failed_deliveries_are_purged(api: httpx.AsyncClient, daemon: FakeDaemon) -> None:
    await outbox_of_two(daemon, api)
    purge = "/v1/channels/backend/purge"
    assert (
        await api.post(purge, json={"state": "failed", "before": "1970-01-01T00:00:00Z"})
    ).json() == {"purged": 0}
    assert (await api.post(purge, json={"state": "failed"})).json() == {"purged": 1}
    (left,) = (await api.get("/v1/deliveries")).json()["items"]
    assert left["state"] == "pending"
    problem(await api.post(purge, json={"state": "lost"}), 422)
    problem(await api.post(purge, json={"state": "failed", "before": "soon"}), 422)


async def test_a_delivery_is_shown_with_its_attempts(
    api: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    await outbox_of_two(daemon, api)
    shown = (await api.get("/v1/deliveries/1")).json()
    assert shown["state"] == "failed"
    assert shown["history"] == [
        {
            "number": 1,
            "at": "1970-01-01T00:01:40.000000Z",
            "duration": 0.0,
            "status": None,
            "error": None,
            "answer": None,
        }
    ]
    assert (await api.get("/v1/deliveries/2")).json()["history"] == []
    for missing in ("99", "0", str(2**70)):
        problem(await api.get(f"/v1/deliveries/{missing}"), 404)


async def test_failed_deliveries_of_a_channel_are_retried_and_counted_first(
    api: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    await outbox_of_two(daemon, api)
    path = "/v1/deliveries/retry"
    counted = await api.post(path, json={"channel": "backend", "dry_run": True})
    assert (counted.status_code, counted.json()) == (200, {"queued": 1})
    none = await api.post(path, json={"channel": "backend", "error": "no such text"})
    assert (none.status_code, none.json()) == (202, {"queued": 0})
    queued = await api.post(path, json={"channel": "backend"})
    assert (queued.status_code, queued.json()) == (202, {"queued": 1})
    problem(await api.post(path, json={"channel": "unknown"}), 404)
    for body in ({}, {"channel": "backend", "error": ""}, {"channel": "backend", "x": 1}):
        problem(await api.post(path, json=body), 422)


async def test_a_dry_run_of_a_replay_or_a_purge_changes_nothing(
    api: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    await outbox_of_two(daemon, api)
    for action, options, count in (
        ("replay", {"since": "1970-01-01T00:00:00Z"}, {"queued": 1}),
        ("purge", {"state": "failed"}, {"purged": 1}),
    ):
        for _ in range(2):
            counted = await api.post(
                f"/v1/channels/backend/{action}", json={**options, "dry_run": True}
            )
            assert (counted.status_code, counted.json()) == (200, count)
    states = [one["state"] for one in (await api.get("/v1/deliveries")).json()["items"]]
    assert states == ["pending", "failed"]


async def test_a_channel_is_tested_by_the_daemon(
    api: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    path = "/v1/channels/backend/test"
    done = await api.post(path)
    assert (done.status_code, done.json()) == (
        200,
        {"channel": "backend", "delivered": True, "status": 204, "error": None},
    )
    assert (await api.post(path, json={"type": "task.failed"})).status_code == 200
    assert daemon.tested == [("backend", "watcher.test"), ("backend", "task.failed")]
    problem(await api.post(path, json={"type": "task.faild"}), 422)
    problem(await api.post("/v1/channels/unknown/test"), 404)
    assert len(daemon.tested) == 2
