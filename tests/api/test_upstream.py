"""The upstream's own calls over the HTTP API: the real calls and store over the upstream in
memory.
"""

import json
import urllib.parse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.harness import FakeDaemon, opened, problem
from tests.support.fake_upstream import transport
from tests.support.minimal_source import minimal_source
from tests.support.records import step
from watcher.core.clock import wall_clock
from watcher.core.masking import SECRETS
from watcher.core.tasks import WatchFilter, WatchState
from watcher.sources.mixpeek import source as mixpeek
from watcher.testing.mixpeek_request import Request
from watcher.testing.mixpeek_server import FakeUpstream

pytestmark = pytest.mark.anyio

TOKEN = {"authorization": "Bearer made-up-api-token"}
SOURCE = "/v1/sources/mixpeek"


class Harness:
    def __init__(self, daemon: FakeDaemon, client: httpx.AsyncClient) -> None:
        self.daemon = daemon
        self.api = client
        self.upstream = FakeUpstream()
        self.aim(transport(self.upstream))

    def aim(self, transport: httpx.AsyncBaseTransport) -> None:
        """Reach the upstream over `transport` from now on."""
        settings = mixpeek.Settings(
            base_url="https://upstream",
            api_key="sk_made_up",
            requests_per_minute=None,
            namespace="ns_1",
        )
        metrics = self.daemon.metrics.source("mixpeek")
        self.daemon.upstream = mixpeek.create(
            settings, transport=transport, metrics=metrics, wall=wall_clock
        )

    async def watched(self) -> set[str]:
        watches, _ = await self.daemon.store.list_watches(WatchFilter(), 1000, None)
        return {watch.key.task_id for watch in watches}

    def break_route(self, part: str, status: int, body: bytes = b"", **headers: str) -> None:
        """Answer paths that hold `part` with `status` from now on."""
        answer = self.upstream.answer

        async def broken(requested: Request) -> Any:
            if part in requested.path:
                return status, headers, body
            return await answer(requested)

        self.upstream.answer = broken  # type: ignore[method-assign]


@asynccontextmanager
async def house_in(folder: Path, **environ: str) -> AsyncIterator[Harness]:
    async with opened(folder, **environ) as (daemon, client):
        yield Harness(daemon, client)


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    async with house_in(tmp_path, WATCHER_SERVER__API_TOKEN="made-up-api-token") as harness:
        harness.api.headers.update(TOKEN)
        yield harness


def uploads(count: int) -> list[dict[str, Any]]:
    return [
        {"upload_id": f"upl_{number}", "etag": '"x"', "file_size_bytes": 7}
        for number in range(count)
    ]


async def test_tasks_are_listed_as_upstream_shows_them_page_by_page(harness: Harness) -> None:
    for number in range(25):
        harness.upstream.set(
            f"task_{number}", "FAILED" if number % 2 else "PENDING", error="boom", task_type="api_x"
        )
    found: list[str] = []
    cursor = None
    while True:
        query = {"limit": 5, **({"cursor": cursor} if cursor else {})}
        page = (
            await harness.api.post(f"{SOURCE}/tasks/list", json={"status": "FAILED"}, params=query)
        ).json()
        found += [item["task_id"] for item in page["items"]]
        assert all(item["error"] == "boom" for item in page["items"])
        if (cursor := page["next_cursor"]) is None:
            break

    assert found == [f"task_{number}" for number in range(25) if number % 2]
    assert await harness.watched() == set()


async def test_pages_go_on_by_offset_where_there_is_no_cursor(harness: Harness) -> None:
    harness.upstream.api.paging = "offset"
    for number in range(12):
        harness.upstream.set(f"task_{number}", "PENDING")
    first = (await harness.api.post(f"{SOURCE}/tasks/list", json={}, params={"limit": 10})).json()
    query = {"limit": 10, "cursor": first["next_cursor"]}
    second = (await harness.api.post(f"{SOURCE}/tasks/list", json={}, params=query)).json()
    assert [len(first["items"]), len(second["items"]), second["next_cursor"]] == [10, 2, None]


def body_for(path: str) -> dict[str, Any] | None:
    """A valid body of a call; None where it takes none."""
    bodies = {"confirm": {"confirmations": uploads(1)}, "list": {}}
    return bodies.get(path.rpartition("/")[2])


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        ({"filters": {"AND": [{"field": "status", "operator": "eq", "value": "failed"}]}}, 1),
        ({"filters": {"OR": [{"additional_data.bucket_id": "b1"}, {"status": "FAILED"}]}}, 2),
        (
            {
                "filters": {
                    "NOT": [{"field": "task_id", "operator": "in", "value": ["task_1", "task_2"]}]
                }
            },
            1,
        ),
        ({"filters": {"additional_data.bucket_id": "b1"}}, 1),
        ({"search": "task_3"}, 1),
        ({"task_type": "API_X"}, 3),
        ({"sort": {"field": "task_id", "direction": "desc"}}, 3),
    ],
)
async def test_every_filter_of_the_list_is_handed_on(
    harness: Harness, wanted: dict[str, Any], count: int
) -> None:
    harness.upstream.set("task_1", "FAILED", task_type="api_x")
    harness.upstream.set(
        "task_2", "PENDING", task_type="api_x", additional_data={"bucket_id": "b1"}
    )
    harness.upstream.set("task_3", "PENDING", task_type="api_x")
    answer = await harness.api.post(f"{SOURCE}/tasks/list", json=wanted)
    assert len(answer.json()["items"]) == count


@pytest.mark.parametrize("body", [{"color": "red"}, {"status": 7}, [], {"filters": []}])
async def test_a_body_that_the_api_does_not_know_is_rejected_before_it_is_sent(
    harness: Harness, body: Any
) -> None:
    problem(await harness.api.post(f"{SOURCE}/tasks/list", json=body), 422)
    assert not harness.upstream.requests


async def test_a_failed_call_is_a_problem_with_upstreams_message(harness: Harness) -> None:
    assert (
        "unknown source 'other2'"
        in problem(await harness.api.post("/v1/sources/other2/tasks/list", json={}), 404)["detail"]
    )
    bad = await harness.api.post(f"{SOURCE}/tasks/list", json={}, params={"cursor": "x"})
    assert "cursor" in problem(bad, 422)["detail"]
    rejected = await harness.api.post(f"{SOURCE}/tasks/list", json={"status": "BOILING"})
    assert (
        problem(rejected, 409)["detail"] == "upstream: HTTP 422 status: 'BOILING' is not a status"
    )
    gone = await harness.api.post(f"{SOURCE}/buckets/b/batches/nope/cancel")
    assert problem(gone, 404)["detail"] == "upstream: HTTP 404 Batch nope not found"


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [
        ("POST", "tasks/list", "listing tasks"),
        ("POST", "buckets/bkt/batches/list", "listing batches"),
        ("POST", "buckets/bkt/batches/b1/cancel", "cancelling batches"),
        ("DELETE", "tasks/task_1", "killing tasks"),
        ("POST", "buckets/bkt/uploads/confirm", "confirming uploads"),
    ],
)
async def test_an_operation_that_the_source_lacks_is_a_problem(
    harness: Harness, method: str, path: str, operation: str
) -> None:
    harness.daemon.upstream = minimal_source()
    body = {"confirmations": uploads(1)} if path.endswith("confirm") else {}
    answer = await harness.api.request(
        method,
        f"{SOURCE}/{path}",
        json=None if method == "DELETE" or path.endswith("/cancel") else body,
    )
    assert problem(answer, 501)["detail"] == f"source 'mixpeek' does not support {operation}"
    assert await harness.watched() == set()


async def test_what_upstream_says_is_in_the_problem_without_the_key(harness: Harness) -> None:
    SECRETS.add(["sk_in_api_test"])
    entry = {"loc": ["body", "filters"], "msg": "Input should be valid", "type": "dict_type"}
    error = {
        "message": "Validation failed for sk_in_api_test",
        "type": "ValidationError",
        "code": "validation_failed",
        "details": {"validation_errors": [entry]},
    }
    body = json.dumps({"success": False, "status": 422, "error": error}).encode()
    harness.break_route("/tasks/list", 422, body, **{"x-request-id": "req_7"})
    answer = problem(await harness.api.post(f"{SOURCE}/tasks/list", json={}), 409)
    assert answer["detail"] == (
        "upstream: HTTP 422 Validation failed for ********: body.filters: Input should be valid "
        "(dict_type) [code validation_failed, request req_7]"
    )
    assert answer["upstream"] == {
        "status": 422,
        "code": "validation_failed",
        "type": "ValidationError",
        "request_id": "req_7",
        "details": {"validation_errors": [entry]},
    }


@pytest.mark.parametrize(
    ("method", "path", "logged"),
    [
        ("POST", "tasks/list", []),
        ("POST", "buckets/bkt/batches/list", []),
        ("POST", "buckets/bkt/batches/b1/cancel", ["cancels batch 'b1' of bucket 'bkt', source"]),
        ("DELETE", "tasks/task_1", ["kills task 'task_1' of source 'mixpeek'"]),
        ("POST", "buckets/bkt/uploads/confirm", ["confirms 1 uploads of bucket 'bkt', source"]),
    ],
)
async def test_upstreams_status_is_in_the_problem_of_every_call_and_what_ends_work_in_the_log(
    harness: Harness, method: str, path: str, logged: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "watcher.api.peers")
    harness.break_route("/", 400, b'{"detail": "no"}', **{"x-amzn-requestid": "r1"})
    body = {"confirmations": uploads(1)} if path.endswith("confirm") else {}
    answer = await harness.api.request(
        method,
        f"{SOURCE}/{path}",
        json=None if method == "DELETE" or path.endswith("/cancel") else body,
    )
    shown = problem(answer, 409)
    assert shown["detail"].startswith("upstream: HTTP 400 no [request r1]")
    assert shown["upstream"] == {
        "status": 400,
        "code": None,
        "type": None,
        "request_id": "r1",
        "details": None,
    }
    texts = [one.message for one in caplog.records if one.name == "watcher.api.peers"]
    assert [text.removesuffix(" 'mixpeek'") for text in texts] == [
        f"127.0.0.1 {text}".removesuffix(" 'mixpeek'") for text in logged
    ]


async def test_upstreams_status_is_shown_even_if_its_answer_is_not_the_apis(
    harness: Harness,
) -> None:
    harness.break_route("/", 200, b"<html>Sign in</html>")
    listed = problem(await harness.api.post(f"{SOURCE}/tasks/list", json={}), 502)
    killed = problem(await harness.api.delete(f"{SOURCE}/tasks/task_1"), 502)
    confirmed = problem(await confirm(harness, 1), 502)
    assert [one["upstream"]["status"] for one in (listed, killed, confirmed)] == [200] * 3
    assert await harness.watched() == set()


async def test_without_a_reply_there_is_no_upstream_member(harness: Harness) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused")

    harness.aim(httpx.MockTransport(fail))
    answer = problem(await harness.api.post(f"{SOURCE}/tasks/list", json={}), 502)
    assert "upstream" not in answer


async def test_the_status_of_a_list_is_sent_in_upper_case(harness: Harness) -> None:
    harness.upstream.set("task_1", "FAILED")
    answer = await harness.api.post(f"{SOURCE}/tasks/list", json={"status": "failed"})
    assert [item["task_id"] for item in answer.json()["items"]] == ["task_1"]


@pytest.mark.parametrize(("status", "becomes"), [(401, 502), (500, 502), (429, 503), (302, 502)])
async def test_upstreams_failures_keep_their_meaning(
    harness: Harness, status: int, becomes: int
) -> None:
    harness.break_route("/tasks/list", status, b"{}", **{"retry-after": "9"})
    answer = await harness.api.post(f"{SOURCE}/tasks/list", json={})
    problem(answer, becomes)
    assert answer.headers["retry-after"] == "9"


async def test_batches_are_listed_with_the_namespace_that_the_api_wants(harness: Harness) -> None:
    harness.upstream.api.batches["b1"] = {
        "batch_id": "b1",
        "bucket_id": "bkt",
        "status": "COMPLETED",
        "namespace_id": "n",
    }
    harness.upstream.api.batches["b2"] = {
        "batch_id": "b2",
        "bucket_id": "bkt",
        "status": "FAILED",
        "namespace_id": "n",
    }
    answer = await harness.api.post(f"{SOURCE}/buckets/bkt/batches/list", json={"status": "FAILED"})
    assert [item["batch_id"] for item in answer.json()["items"]] == ["b2"]


async def test_a_cancelled_batch_is_watched_and_its_result_is_shown(harness: Harness) -> None:
    harness.upstream.set("task_1", "IN_PROGRESS")
    harness.upstream.set("tier_1", "IN_PROGRESS")
    tiers = [{"task_id": "tier_1"}]
    harness.upstream.api.batches["b1"] = {
        "batch_id": "b1",
        "bucket_id": "bkt",
        "task_id": "task_1",
        "tier_tasks": tiers,
    }
    harness.upstream.api.rejected_jobs = 1
    answer = await harness.api.post(
        f"{SOURCE}/buckets/bkt/batches/b1/cancel", params={"reason": "wrong files"}
    )

    assert answer.json()["cancellation"] == {
        "ray_jobs_requested": 2,
        "ray_jobs_accepted": 1,
        "ray_jobs_refused": 1,
    }
    assert await harness.watched() == {"task_1"}
    assert harness.daemon.tracked == ["task_1"]


async def test_a_killed_task_is_watched(harness: Harness) -> None:
    harness.upstream.set("task:1-ä", "IN_PROGRESS")
    answer = await harness.api.delete(f"{SOURCE}/tasks/task%3A1-%C3%A4")

    assert answer.json()["success"] is True
    assert await harness.watched() == {"task:1-ä"}


@pytest.mark.parametrize(
    "bad", ["%2e%2e", "..%5c..", "a%252fb", "a%0A", "a%20b", "%C2%9B", "x" * 257]
)
async def test_an_id_that_could_lead_to_another_route_reaches_nothing(
    harness: Harness, bad: str
) -> None:
    for method, path in (
        ("DELETE", f"tasks/{bad}"),
        ("POST", f"buckets/{bad}/batches/b/cancel"),
        ("POST", f"buckets/b/batches/{bad}/cancel"),
        ("POST", f"buckets/{bad}/batches/list"),
        ("POST", f"buckets/{bad}/uploads/confirm"),
    ):
        bodies = {"list": {}, "confirm": {"confirmations": [{"upload_id": "u"}]}}
        body = bodies.get(path.rpartition("/")[2])
        answer = await harness.api.request(method, f"{SOURCE}/{path}", json=body)
        assert "an ID" in problem(answer, 422)["detail"], path
    assert not harness.upstream.requests


async def test_a_task_that_an_answer_names_is_not_watched_if_its_id_is_not_valid(
    harness: Harness,
) -> None:
    for task_id in ("..", "a/b", "%2e%2e", "a\u202eb", "x" * 1_000_000):
        harness.upstream.set(task_id, "IN_PROGRESS")
        batch = {"batch_id": "b1", "bucket_id": "bkt", "task_id": task_id}
        harness.upstream.api.batches["b1"] = batch
        answer = await harness.api.post(f"{SOURCE}/buckets/bkt/batches/b1/cancel")
        assert answer.status_code == 200
    assert await harness.watched() == set()


async def test_a_kill_of_an_unknown_task_is_not_watched(harness: Harness) -> None:
    answer = await harness.api.delete(f"{SOURCE}/tasks/task_9")

    assert answer.json()["success"] is True
    assert await harness.watched() == set()
    assert harness.daemon.tracked == []


async def test_a_killed_task_is_watched_if_upstream_does_not_say_whether_it_exists(
    harness: Harness,
) -> None:
    answer = harness.upstream.answer

    async def fails_get(requested: Request) -> Any:
        return (500, {}, b"") if requested.method == "GET" else await answer(requested)

    harness.upstream.answer = fails_get  # type: ignore[method-assign]
    assert (await harness.api.delete(f"{SOURCE}/tasks/task_1")).status_code == 200
    assert await harness.watched() == {"task_1"}


async def test_a_kill_or_cancellation_opens_a_done_watch_again(harness: Harness) -> None:
    harness.upstream.set("task_1", "IN_PROGRESS")
    harness.upstream.api.batches["b1"] = {"batch_id": "b1", "bucket_id": "bkt", "task_id": "task_1"}
    for method, path in (("DELETE", "tasks/task_1"), ("POST", "buckets/bkt/batches/b1/cancel")):
        await harness.api.post("/v1/watches", json={"task_id": "task_1"})
        (watch,) = await harness.daemon.store.find("task_1")
        await harness.daemon.store.record([step(watch, "FAILED")])
        assert (await harness.api.request(method, f"{SOURCE}/{path}")).status_code == 200
        (watch,) = await harness.daemon.store.find("task_1")
        assert watch.state is WatchState.ACTIVE
    assert harness.upstream.requests["GET /v1/tasks/{task_id}"] == 0


async def test_without_a_token_no_work_is_ended(tmp_path: Path) -> None:
    async with house_in(tmp_path) as harness:
        harness.upstream.set("task_1", "IN_PROGRESS")
        assert (
            "server.api_token"
            in problem(await harness.api.delete(f"{SOURCE}/tasks/task_1"), 403)["detail"]
        )
        problem(await harness.api.post(f"{SOURCE}/buckets/bkt/batches/b1/cancel"), 403)
        assert not harness.upstream.requests
        assert (await harness.api.post(f"{SOURCE}/tasks/list", json={})).status_code == 200


async def confirm(harness: Harness, count: int, **more: Any) -> httpx.Response:
    body = {"confirmations": uploads(count), **more}
    return await harness.api.post(f"{SOURCE}/buckets/bkt/uploads/confirm", json=body)


async def test_uploads_are_confirmed_a_hundred_a_request_and_never_twice(harness: Harness) -> None:
    first = (await confirm(harness, 250)).json()["items"]
    again = (await confirm(harness, 260)).json()["items"]

    assert {item["state"] for item in first} == {"confirmed"}
    assert [item["state"] for item in again].count("already") == 250
    assert len(harness.upstream.api.confirmed) == len(set(harness.upstream.api.confirmed)) == 260
    assert len(await harness.watched()) == 4
    assert len({item["task_id"] for item in again}) == 4


async def test_a_failed_confirmation_reports_its_progress_and_can_be_continued(
    harness: Harness,
) -> None:
    calls = harness.daemon.upstream.confirm_uploads
    sent = 0

    async def fails_at_second(*arguments: Any) -> Any:
        nonlocal sent
        sent += 1
        if sent == 2:
            harness.break_route("/confirm", 503, b"{}")
        return await calls(*arguments)

    harness.daemon.upstream.confirm_uploads = fails_at_second
    answer = harness.upstream.answer
    detail = problem(await confirm(harness, 300), 502)["detail"]
    assert "100 of 300 uploads were confirmed" in detail
    assert len(await harness.watched()) == 1
    harness.upstream.answer = answer  # type: ignore[method-assign]
    # A 503 may come from a gateway after a timeout: it is unknown whether upstream accepted them.
    states = [item["state"] for item in (await confirm(harness, 300)).json()["items"]]
    assert (states.count("already"), states.count("doubtful"), states.count("confirmed")) == (
        100,
        100,
        100,
    )
    states = [
        item["state"]
        for item in (await confirm(harness, 300, resend_doubtful=True)).json()["items"]
    ]
    assert (states.count("already"), states.count("confirmed")) == (200, 100)


@pytest.mark.parametrize("status", [400, 404, 422, 429])
async def test_what_upstream_rejected_is_simply_sent_again(harness: Harness, status: int) -> None:
    answer = harness.upstream.answer
    harness.break_route("/confirm", status, b"{}", **{"retry-after": "0"})
    assert (await confirm(harness, 10)).status_code >= 400
    harness.upstream.answer = answer  # type: ignore[method-assign]
    assert {item["state"] for item in (await confirm(harness, 10)).json()["items"]} == {"confirmed"}


async def test_an_answer_that_names_no_task_leaves_doubt(harness: Harness) -> None:
    answer = harness.upstream.answer
    harness.break_route("/confirm", 200, b"<html>")
    problem(await confirm(harness, 3), 502)
    harness.upstream.answer = answer  # type: ignore[method-assign]
    assert {item["state"] for item in (await confirm(harness, 3)).json()["items"]} == {"doubtful"}
    assert harness.upstream.api.confirmed == []


async def test_the_answer_to_a_confirmation_is_passed_on(harness: Harness) -> None:
    (request,) = (await confirm(harness, 3)).json()["requests"]
    task = harness.upstream.api.tasks[request["task_id"]]
    assert request == {
        "task_id": "task_confirm_1",
        "status": "PENDING",
        "message": "Batch confirmation is being processed in the background.",
        "sent": 3,
        "confirmations_count": 3,
        "task": task,
    }
    assert (await confirm(harness, 3)).json()["requests"] == []


@pytest.mark.parametrize(
    ("answer", "states"),
    [
        ({"confirmations_count": 2}, {"doubtful"}),
        ({"confirmations_count": 0}, {"doubtful"}),
        ({"confirmations_count": 3}, {"confirmed"}),
        ({"confirmations_count": 4}, {"confirmed"}),
        ({"confirmations_count": None}, {"confirmed"}),
        ({"confirmations_count": "two"}, {"confirmed"}),
        ({}, {"confirmed"}),
        ({"status": 7, "message": ["x"], "task": None}, {"confirmed"}),
    ],
)
async def test_uploads_stay_open_if_upstream_confirms_fewer_than_were_sent(
    harness: Harness, answer: dict[str, Any], states: set[str]
) -> None:
    usual = harness.upstream.answer
    body = json.dumps({"task_id": "task_c", **answer}).encode()
    harness.break_route("/confirm", 200, body)
    first = (await confirm(harness, 3)).json()
    assert {item["state"] for item in first["items"]} == states
    assert first["requests"][0]["task"] is None
    assert await harness.watched() == {"task_c"}
    harness.upstream.answer = usual  # type: ignore[method-assign]
    again = (await confirm(harness, 3)).json()["items"]
    assert {item["state"] for item in again} == ({"already"} if states == {"confirmed"} else states)
    if states == {"doubtful"}:
        sent_again = (await confirm(harness, 3, resend_doubtful=True)).json()["items"]
        assert {item["state"] for item in sent_again} == {"confirmed"}


@pytest.mark.parametrize(
    "confirmations",
    [
        [],
        [{"etag": "x"}],
        [{"upload_id": "u", "color": 1}],
        [{"upload_id": "u\u202e"}],
        [{"upload_id": "u", "etag": "x" * 1025}],
        [{"upload_id": "u", "file_size_bytes": 0}],
    ],
)
async def test_confirmations_that_upstream_would_reject_are_not_sent(
    harness: Harness, confirmations: Any
) -> None:
    content = json.dumps({"confirmations": confirmations})
    headers = {"content-type": "application/json"}
    confirm = f"{SOURCE}/buckets/bkt/uploads/confirm"
    problem(await harness.api.post(confirm, content=content, headers=headers), 422)
    assert not harness.upstream.requests


@pytest.mark.parametrize(
    "name",
    [
        "//evil.example/x",
        "@evil.example",
        "../../../evil",
        "..",
        ".",
        "x?y=http://evil.example",
        "x#y",
        "http://evil.example",
        "\\\\evil.example",
        "%2e%2e%2fevil",
        "x\r\nHost: evil.example",
        "evil.example:80",
        "ａ/ｂ",
        "x;y=z",
        "localhost@evil",
    ],
)
async def test_no_caller_can_aim_the_watcher_anywhere(harness: Harness, name: str) -> None:
    requested: list[httpx.URL] = []

    def note(request: httpx.Request) -> httpx.Response:
        requested.append(request.url)
        assert request.headers["host"] == "upstream"
        return httpx.Response(404, json={"error": "not found"})

    harness.aim(httpx.MockTransport(note))
    quoted = urllib.parse.quote(name, safe="")
    foreign = {
        "url": "http://evil.example/",
        "base_url": "http://evil.example/",
        "reason": name,
        "namespace": name,
    }
    upload = {"upload_id": name, "url": "http://evil.example/"}
    for method, path, body in (
        ("POST", f"{SOURCE}/buckets/{quoted}/batches/list", foreign),
        ("POST", f"{SOURCE}/buckets/{quoted}/batches/{quoted}/cancel", foreign),
        (
            "POST",
            f"{SOURCE}/buckets/{quoted}/uploads/confirm",
            {**foreign, "confirmations": [upload]},
        ),
        ("POST", f"{SOURCE}/tasks/list", {"search": name, "url": "http://evil.example/"}),
        ("DELETE", f"{SOURCE}/tasks/{quoted}", None),
        ("POST", f"/v1/sources/{quoted}/tasks/list", foreign),
        ("POST", "/v1/watches", {**foreign, "task_id": name, "source": "http://evil.example"}),
        ("POST", f"/v1/channels/{quoted}/replay", {**foreign, "since": "2026-01-01T00:00:00Z"}),
    ):
        for sent in (
            body,
            None if body is None else {key: body[key] for key in body.keys() - {"url", "base_url"}},
        ):
            answer = await harness.api.request(method, path, json=sent)
            assert answer.status_code in (404, 405, 413, 422, 502), (path, answer.text)

    for url in requested:
        raw_path = url.raw_path.partition(b"?")[0]
        parts = raw_path.split(b"/")
        assert (url.scheme, url.host, url.port) == ("https", "upstream", None)
        assert raw_path.startswith(b"/v1/")
        assert parts[-1] in (b"list", b"cancel", b"batch") or len(parts) == 4
        assert not {b"..", b"."} & set(parts), raw_path
    assert requested
