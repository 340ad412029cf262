"""The HTTP API over the real store: what it takes, what it refuses and how, and the event stream."""

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from tests.support.records import KEY, SECRET, event, settled, step
from watcher.api import server
from watcher.api.app import create_api, create_telemetry
from watcher.configuration import loader
from watcher.core.channels import ChannelState
from watcher.core.deliveries import DeliveryState
from watcher.core.settings import Settings
from watcher.core.tasks import TaskKey, Watch
from watcher.core.wakeup import Wakeup
from watcher.stores.sqlite import store as sqlite
from watcher.telemetry.health import Health
from watcher.telemetry.liveness import LivenessMonitor
from watcher.telemetry.metrics import Metrics

pytestmark = pytest.mark.anyio

BASE = "http://127.0.0.1:8080"


class FakeDaemon:
    """The rest of the daemon: remembers what the API told it."""

    def __init__(self, store: Any, environ: dict[str, str]) -> None:
        self.store = store
        self.metrics = Metrics(CollectorRegistry(), "test")
        self.outbox = Wakeup()
        self.now = 0.0
        self.pulse = LivenessMonitor(lambda: self.now)
        self.health = Health(store.ping, lambda: {"poller mixpeek": self.pulse})
        self.stopping = anyio.Event()
        self.tracked: list[str] = []
        self.forgotten: list[TaskKey] = []
        self.upstream: Any = None
        self.held: dict[str, str] = {}
        sources = json.dumps([{"name": name, "api_key": "sk"} for name in ("mixpeek", "other")])
        channels = json.dumps(
            [{"name": "backend", "type": "webhook", "url": "https://x/", "secrets": [SECRET]}]
        )
        variables = {"WATCHER_SOURCES": sources, "WATCHER_CHANNELS": channels, "HOME": "/nowhere"}
        self.settings: Settings = loader.load(None, {**variables, **environ})

    def track(self, watches: Iterable[Watch]) -> None:
        self.tracked += [watch.key.task_id for watch in watches]

    def forget(self, key: TaskKey) -> None:
        self.forgotten.append(key)

    def times(self, key: TaskKey) -> tuple[float | None, float | None]:
        return 1_700_000_000.0, 1_700_000_030.5

    def source(self, name: str) -> Any:
        return self.upstream if name == "mixpeek" else None

    def channels(self) -> list[ChannelState]:
        hold = self.held.get("backend")
        return [
            ChannelState(
                name="backend", type="webhook", state="paused" if hold else "running", reason=hold
            )
        ]

    async def pause(self, channel: str, reason: str) -> None:
        self.held[channel] = reason

    async def resume(self, channel: str) -> None:
        self.held.clear()

    async def refresh_gauges(self) -> None:
        self.metrics.channel("backend").waiting(3, 1.5)


@asynccontextmanager
async def opened(
    folder: Path, **environ: str
) -> AsyncIterator[tuple[FakeDaemon, httpx.AsyncClient]]:
    async with sqlite.create(f"sqlite:///{folder}/watcher.db") as store:
        daemon = FakeDaemon(store, environ)
        transport = httpx.ASGITransport(create_api(daemon), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
            yield daemon, client


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[tuple[FakeDaemon, httpx.AsyncClient]]:
    async with opened(tmp_path) as pair:
        yield pair


@pytest.fixture
def daemon(house: tuple[FakeDaemon, httpx.AsyncClient]) -> FakeDaemon:
    return house[0]


@pytest.fixture
def api(house: tuple[FakeDaemon, httpx.AsyncClient]) -> httpx.AsyncClient:
    return house[1]


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["title"]
    return body


async def test_adding_one_and_adding_it_again(api: httpx.AsyncClient, daemon: FakeDaemon) -> None:
    first = await api.post("/v1/watches", json={"task_id": "task_1", "labels": {"team": "search"}})
    again = await api.post("/v1/watches", json={"task_id": "task_1", "labels": {"tier": "1"}})

    assert (first.status_code, again.status_code) == (201, 200)
    assert (first.json()["added"], first.json()["existing"]) == (1, 0)
    assert again.json()["items"][0]["labels"] == {"team": "search", "tier": "1"}
    assert daemon.tracked == ["task_1"]


async def test_a_watch_has_the_fields_of_the_contract(api: httpx.AsyncClient) -> None:
    (watch,) = (await api.post("/v1/watches", json=[{"task_id": "task_1"}])).json()["items"]
    assert list(watch) == [
        "task_id",
        "source",
        "namespace",
        "labels",
        "state",
        "status",
        "terminal",
        "sequence",
        "task_type",
        "error_message",
        "added_at",
        "first_seen_at",
        "changed_at",
        "polled_at",
        "next_poll_at",
        "lost_at",
    ]
    assert (watch["state"], watch["status"], watch["terminal"], watch["sequence"]) == (
        "active",
        None,
        False,
        0,
    )
    assert watch["next_poll_at"] == "2023-11-14T22:13:50.500000Z"


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        ({"task_id": ""}, "task_id"),
        ({"task_id": "x" * 257}, "task_id"),
        ({"task_id": "a/b"}, "task_id"),
        ({"task_id": ".."}, "task_id"),
        ({"task_id": "a\nb"}, "task_id"),
        ({"task_id": 7}, "task_id"),
        ({}, "task_id"),
        ({"task_id": "a", "source": "nowhere"}, "source"),
        ({"task_id": "a", "labels": {str(number): "x" for number in range(21)}}, "labels"),
        ({"task_id": "a", "labels": {"x": 1}}, "labels.x"),
        ({"task_id": "a", "labels": {"x": "y" * 257}}, "labels.x"),
        ({"task_id": "a", "tags": []}, "tags"),
        ("task_1", ""),
    ],
)
async def test_one_bad_entry_refuses_all_and_says_which(
    api: httpx.AsyncClient, entry: Any, field: str
) -> None:
    body = problem(await api.post("/v1/watches", json=[{"task_id": "good"}, entry]), 422)

    assert [(error["index"], error["field"]) for error in body["errors"]] == [(1, field)]
    assert body["errors"][0]["message"]
    assert (await api.get("/v1/watches")).json()["items"] == []


async def test_at_most_a_thousand_at_once(api: httpx.AsyncClient) -> None:
    entries = [{"task_id": f"task_{number}"} for number in range(1001)]
    problem(await api.post("/v1/watches", json=entries), 422)
    problem(await api.post("/v1/watches", json=[]), 422)
    assert (await api.post("/v1/watches", json=entries[:1000])).json()["added"] == 1000


async def test_a_body_that_is_too_large_is_refused_with_and_without_a_length(
    api: httpx.AsyncClient,
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 65536

    problem(await api.post("/v1/watches", content=b" " * (1024 * 1024 + 1)), 413)
    problem(await api.post("/v1/watches", content=chunks()), 413)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    content=st.binary(max_size=60)
    | st.sampled_from(
        [b'{"task_id":"\\ud800"}', b"NaN", b"[" * 5000, b'{"task_id":"a","task_id":"b"}']
    )
    | st.recursive(
        st.none() | st.text(max_size=5) | st.integers(), lambda inner: st.lists(inner, max_size=3)
    ).map(lambda value: json.dumps(value).encode())
)
async def test_whatever_is_posted_is_taken_or_refused_and_never_an_error_of_ours(
    api: httpx.AsyncClient, content: bytes
) -> None:
    assert (await api.post("/v1/watches", content=content)).status_code in (200, 201, 400, 422)


async def test_lists_come_in_pages_with_filters(api: httpx.AsyncClient, daemon: FakeDaemon) -> None:
    entries = [
        {"task_id": f"task_{number}", "labels": {"team": "a" if number % 2 else "b"}}
        for number in range(5)
    ]
    await api.post("/v1/watches", json=entries)
    watch = (await daemon.store.find("task_3"))[0]
    await daemon.store.record([step(watch, "COMPLETED")])

    first = (await api.get("/v1/watches", params={"limit": 3})).json()
    second = (
        await api.get("/v1/watches", params={"limit": 3, "cursor": first["next_cursor"]})
    ).json()
    assert [item["task_id"] for item in first["items"] + second["items"]] == [
        f"task_{n}" for n in (4, 3, 2, 1, 0)
    ]
    assert second["next_cursor"] is None

    async def found(**params: Any) -> list[str]:
        return [
            item["task_id"]
            for item in (await api.get("/v1/watches", params=params)).json()["items"]
        ]

    assert await found(label="team:a", state="active") == ["task_1"]
    assert await found(status=["completed", "FAILED"]) == ["task_3"]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "state=asleep", "label=x", "cursor=nonsense"]
)
async def test_a_query_that_makes_no_sense_is_refused(api: httpx.AsyncClient, query: str) -> None:
    assert problem(await api.get(f"/v1/watches?{query}"), 422)["errors"]


async def test_one_watch_is_shown_with_its_transitions_and_removed(
    api: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    await api.post("/v1/watches", json={"task_id": "tâsk 1"})
    watch = (await daemon.store.find("tâsk 1"))[0]
    await daemon.store.record([step(watch, "IN_PROGRESS", at=4_000_000_000.0)])

    shown = (await api.get("/v1/watches/t%C3%A2sk%201")).json()
    assert shown["transitions"] == [
        {
            "sequence": 1,
            "previous_status": None,
            "status": "IN_PROGRESS",
            "at": "2096-10-02T07:06:40.000000Z",
            "event_id": "msg_tâsk 1_1",
        }
    ]
    assert (await api.delete("/v1/watches/t%C3%A2sk%201")).status_code == 204
    assert daemon.forgotten == [watch.key]
    problem(await api.get("/v1/watches/t%C3%A2sk%201"), 404)
    problem(await api.delete("/v1/watches/t%C3%A2sk%201"), 404)


async def test_a_task_added_again_begins_its_history_anew(
    api: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    await api.post("/v1/watches", json={"task_id": "task_1"})
    watch = (await daemon.store.find("task_1"))[0]
    await daemon.store.record([step(watch, "IN_PROGRESS", at=watch.added_at)])
    await api.delete("/v1/watches/task_1")
    await api.post("/v1/watches", json={"task_id": "task_1"})

    shown = (await api.get("/v1/watches/task_1")).json()
    assert (shown["sequence"], shown["transitions"]) == (0, [])


async def test_an_id_watched_at_two_sources_needs_the_source(api: httpx.AsyncClient) -> None:
    await api.post("/v1/watches", json=[{"task_id": "t"}, {"task_id": "t", "source": "other"}])
    problem(await api.get("/v1/watches/t"), 409)
    assert (await api.get("/v1/watches/t?source=other")).json()["source"] == "other"


async def outbox_of_two(daemon: FakeDaemon, api: httpx.AsyncClient) -> None:
    await api.post("/v1/watches", json={"task_id": KEY.task_id})
    watch = (await daemon.store.find(KEY.task_id))[0]
    change = step(watch, "IN_PROGRESS")
    await daemon.store.record([change, step(change.watch, "FAILED")])
    await daemon.store.settle([settled(1, DeliveryState.FAILED)])


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
        await api.post("/v1/channels/nobody/replay", json={"since": "1970-01-01T00:00:00Z"}), 404
    )
    for since in ("yesterday", "2026-01-01T00:00:00", ""):
        problem(await api.post("/v1/channels/backend/replay", json={"since": since}), 422)


async def test_with_a_token_all_but_the_probes_need_it(tmp_path: Path) -> None:
    async with opened(tmp_path, WATCHER_SERVER__API_TOKEN="hidden") as (_, api):
        for path in ("/healthz", "/readyz", "/metrics", "/openapi.json"):
            assert (await api.get(path, headers={"host": "anything.example"})).status_code == 200
        for header in ("", "Bearer wrong", "Basic hidden", "hidden"):
            response = await api.get("/v1/watches", headers={"authorization": header})
            assert problem(response, 401)
            assert response.headers["www-authenticate"] == "Bearer"
        assert (
            await api.get("/v1/watches", headers={"authorization": "bearer hidden"})
        ).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1:8080", "", "[::2]:80"]
)
async def test_without_a_token_a_host_that_is_not_loopback_is_refused(
    api: httpx.AsyncClient, host: str
) -> None:
    problem(await api.get("/v1/watches", headers={"host": host}), 403)


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "127.1.2.3", "[::1]:8080"]
)
async def test_loopback_in_every_spelling_is_taken(api: httpx.AsyncClient, host: str) -> None:
    assert (await api.get("/v1/watches", headers={"host": host})).status_code == 200


async def test_a_page_of_another_origin_is_refused(api: httpx.AsyncClient) -> None:
    origin = {"origin": "https://evil.example"}
    problem(await api.post("/v1/watches", json={"task_id": "t"}, headers=origin), 403)


async def test_no_page_may_use_the_api_but_those_that_are_configured(tmp_path: Path) -> None:
    asks = {"origin": "https://console.example", "access-control-request-method": "POST"}
    environ = {"WATCHER_SERVER__API_TOKEN": "hidden"}
    async with opened(tmp_path / "none", **environ) as (_, api):
        answer = await api.options("/v1/watches", headers=asks)
        assert answer.status_code == 401
        assert not any(name.startswith("access-control") for name in answer.headers)
    environ["WATCHER_SERVER__CORS_ORIGINS"] = "https://console.example, https://other.example"
    async with opened(tmp_path / "one", **environ) as (_, api):
        answer = await api.options("/v1/watches", headers=asks)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (
            200,
            asks["origin"],
        )
        stranger = await api.options(
            "/v1/watches", headers={**asks, "origin": "https://evil.example"}
        )
        assert "access-control-allow-origin" not in stranger.headers
        assert (await api.get("/v1/watches", headers={"origin": asks["origin"]})).status_code == 401
        bearer = {"origin": asks["origin"], "authorization": "Bearer hidden"}
        answer = await api.get("/v1/watches", headers=bearer)
        assert answer.headers["access-control-allow-origin"] == asks["origin"]


async def test_every_answer_tells_browsers_to_make_no_more_of_it(api: httpx.AsyncClient) -> None:
    for path in ("/v1/watches", "/v1/nothing", "/metrics", "/openapi.json"):
        headers = (await api.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["cache-control"] == "no-store"


async def test_headers_and_bodies_have_a_limit(api: httpx.AsyncClient) -> None:
    problem(await api.get("/v1/watches", headers={"x-long": "x" * 20_000}), 431)
    problem(await api.get("/v1/watches", headers=[("x-many", "x" * 90)] * 200), 431)
    problem(await api.post("/v1/watches", content=b" " * (1024 * 1024 + 1)), 413)


async def test_a_405_names_every_method_of_the_path(api: httpx.AsyncClient) -> None:
    assert (await api.put("/v1/watches/task_1")).headers["allow"] == "GET, DELETE"
    assert (await api.put("/v1/sources/mixpeek/tasks/list")).headers["allow"] == "POST"


async def test_health_follows_the_loops(api: httpx.AsyncClient, daemon: FakeDaemon) -> None:
    assert (await api.get("/healthz")).json() == {"status": "ok"}
    daemon.now = 61.0
    late = await api.get("/healthz")
    assert (late.status_code, late.json()) == (503, {"status": "standing still: poller mixpeek"})


async def test_readiness_is_that_the_store_can_be_written(api: httpx.AsyncClient) -> None:
    assert (await api.get("/readyz")).json() == {"status": "ok"}


async def test_metrics_come_in_both_formats(api: httpx.AsyncClient) -> None:
    plain = await api.get("/metrics")
    assert "watcher_outbox_pending" in {family.name for family in prometheus(plain.text)}
    asked = await api.get(
        "/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"}
    )
    assert asked.headers["content-type"].startswith("application/openmetrics-text")
    assert "watcher_build" in " ".join(family.name for family in openmetrics(asked.text))  # type: ignore[no-untyped-call]


async def test_the_second_listener_has_probes_and_metrics_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as (daemon, _):
        transport = httpx.ASGITransport(create_telemetry(daemon))
        async with httpx.AsyncClient(transport=transport, base_url="http://pod.example") as client:
            for path in ("/healthz", "/readyz", "/metrics"):
                assert (await client.get(path)).status_code == 200
            problem(await client.get("/v1/watches"), 404)


async def test_what_is_not_there_is_a_problem_too(api: httpx.AsyncClient) -> None:
    problem(await api.get("/nothing"), 404)
    problem(await api.put("/v1/watches"), 405)


async def test_openapi_describes_every_call(api: httpx.AsyncClient) -> None:
    shown = (await api.get("/openapi.json")).json()
    assert set(shown["paths"]) == {
        "/v1/watches",
        "/v1/watches/{task_id}",
        "/v1/events",
        "/v1/deliveries",
        "/v1/deliveries/{delivery_id}",
        "/v1/sources/{source}/tasks/list",
        "/v1/sources/{source}/tasks/{task_id}",
        "/v1/sources/{source}/buckets/{bucket}/batches/list",
        "/v1/sources/{source}/buckets/{bucket}/batches/{batch}/cancel",
        "/v1/sources/{source}/buckets/{bucket}/uploads/confirm",
        "/v1/deliveries/{delivery_id}/retry",
        "/v1/channels",
        "/v1/channels/{name}/pause",
        "/v1/channels/{name}/resume",
        "/v1/channels/{name}/replay",
        "/v1/channels/{name}/purge",
        "/healthz",
        "/readyz",
        "/metrics",
    }
    assert "ProblemDetails" in shown["components"]["schemas"]


# The event stream, over a socket: a stream has no end, and a test transport waits for one


@asynccontextmanager
async def served(daemon: FakeDaemon) -> AsyncIterator[httpx.AsyncClient]:
    listener = server.bind("server", "127.0.0.1", 0)
    async with anyio.create_task_group() as tasks:
        await tasks.start(server.serve, create_api(daemon), listener, daemon.stopping)
        async with httpx.AsyncClient(base_url=server.url_of(listener), trust_env=False) as client:
            yield client
        daemon.stopping.set()
        daemon.outbox.set()
    listener.close()


async def tell(daemon: FakeDaemon, number: int) -> None:
    await daemon.store.record_outage(event(number, key=None, order_key="x"), None)
    daemon.outbox.set()


async def read_ids(stream: httpx.Response, count: int) -> list[int]:
    found = []
    async for line in stream.aiter_lines():
        if line.startswith("id: "):
            found.append(int(line[4:]))
        if len(found) == count and not line:
            break
    return found


async def test_the_stream_begins_with_the_next_event_and_resumes_without_a_gap(
    daemon: FakeDaemon,
) -> None:
    async with served(daemon) as client:
        await tell(daemon, 1)
        async with client.stream("GET", "/v1/events") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            await tell(daemon, 2)
            await tell(daemon, 3)
            assert await read_ids(stream, 2) == [2, 3]
        await tell(daemon, 4)
        async with client.stream("GET", "/v1/events", headers={"last-event-id": "1"}) as stream:
            assert await read_ids(stream, 3) == [2, 3, 4]
        problem(await client.get("/v1/events", headers={"last-event-id": "x"}), 422)


async def test_stopping_ends_open_streams_at_once(daemon: FakeDaemon) -> None:
    with anyio.fail_after(5):
        async with served(daemon) as client, client.stream("GET", "/v1/events") as stream:
            await tell(daemon, 1)
            assert await read_ids(stream, 1) == [1]
            daemon.stopping.set()
            daemon.outbox.set()


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
    problem(await api.post("/v1/channels/nobody/pause"), 404)
    problem(await api.post("/v1/channels/nobody/resume"), 404)
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
