"""Health, readiness and metrics."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from tests.api.harness import BASE, FakeDaemon, opened, problem, served
from tests.support.records import event
from watcher.api.app import create_api, create_telemetry
from watcher.core.errors import StoreFullError
from watcher.stores.sqlite import store as sqlite
from watcher.telemetry.health import Health

pytestmark = pytest.mark.anyio


async def test_health_follows_the_loops(api: httpx.AsyncClient, daemon: FakeDaemon) -> None:
    assert (await api.get("/healthz")).json() == {"status": "ok"}
    daemon.now = 61.0
    late = await api.get("/healthz")
    assert (late.status_code, late.json()) == (503, {"status": "stalled loops: poller mixpeek"})


async def test_readiness_means_that_the_store_accepts_writes(api: httpx.AsyncClient) -> None:
    assert (await api.get("/readyz")).json() == {"status": "ok"}


async def test_readiness_ends_while_the_store_is_full_and_returns_by_itself(tmp_path: Path) -> None:
    url, limit = f"sqlite:///{tmp_path}/watcher.db", 16 * 1024**2
    async with AsyncExitStack() as resources:
        opening = sqlite.create(url, max_size=limit)
        daemon = FakeDaemon(await resources.enter_async_context(opening), {})
        transport = httpx.ASGITransport(create_telemetry(daemon))
        client = httpx.AsyncClient(transport=transport, base_url=BASE)
        api = await resources.enter_async_context(client)

        async def store(size: int, number: int) -> None:
            large = replace(event(number, key=None, channels=()), body=b"x" * size)
            await daemon.store.record_outage(large, None)

        with pytest.raises(StoreFullError):
            for number in range(20):
                await store(2_000_000, number)
        # There is room for less than what was to be stored, so that waits.
        ready = await api.get("/readyz")
        assert (ready.status_code, "store.max_size" in ready.json()["status"]) == (503, True)

        assert await daemon.store.remove_ended(2_500_000) > 0
        daemon.health = Health(daemon.store.ping, dict)  # a result is kept for one second
        assert (await api.get("/readyz")).status_code == 200


async def test_a_replica_is_ready_once_it_has_a_session(
    api: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    apart = ["this replica has no session: it has not joined the others yet"]
    daemon.health = Health(daemon.store.ping, dict, lambda: apart[0] if apart else None)
    ready = await api.get("/readyz")
    assert (ready.status_code, ready.json()) == (503, {"status": apart[0]})
    apart.clear()
    assert (await api.get("/readyz")).status_code == 200


async def test_metrics_come_in_both_formats(api: httpx.AsyncClient) -> None:
    plain = await api.get("/metrics")
    assert "watcher_outbox_pending" in {family.name for family in prometheus(plain.text)}
    requested = await api.get(
        "/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"}
    )
    assert requested.headers["content-type"].startswith("application/openmetrics-text")
    assert "watcher_build" in " ".join(family.name for family in openmetrics(requested.text))  # type: ignore[no-untyped-call]


async def test_metrics_are_compressed_on_request(api: httpx.AsyncClient) -> None:
    plain = await api.get("/metrics", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    packed = await api.get("/metrics", headers={"accept-encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "watcher_outbox_pending" in packed.text
    assert int(packed.headers["content-length"]) < len(plain.content) / 4


async def test_the_telemetry_listener_has_only_probes_and_metrics(tmp_path: Path) -> None:
    async with opened(tmp_path) as (daemon, _):
        transport = httpx.ASGITransport(create_telemetry(daemon))
        async with httpx.AsyncClient(
            transport=transport, base_url="http://10.0.0.7:9464"
        ) as client:
            for path in ("/healthz", "/readyz", "/metrics"):
                assert (await client.get(path)).status_code == 200
            problem(await client.get("/v1/watches"), 404)


@pytest.mark.parametrize("create", [create_api, create_telemetry])
async def test_head_is_get_without_a_body(
    daemon: FakeDaemon, create: Callable[[FakeDaemon], FastAPI]
) -> None:
    """… on one connection, so that a body would be taken for the next response."""
    async with served(daemon, create) as client:
        for path in ("/healthz", "/readyz", "/metrics"):
            head = await client.head(path)
            got = await client.get(path)
            assert (head.status_code, head.content) == (200, b"")
            for name in ("content-type", "x-content-type-options"):
                assert head.headers[name] == got.headers[name]
        whole = await client.head("/metrics")
        assert int(whole.headers["content-length"]) > 1000
        daemon.now = 61.0
        assert (await client.head("/healthz")).status_code == 503
        assert (await client.put("/healthz")).headers["allow"] == "GET, HEAD"
        assert (await client.head("/v1/watches")).status_code in (404, 405)


@pytest.mark.parametrize(
    ("listens_on", "host", "status"),
    [
        ("0.0.0.0", "10.0.0.7:9464", 200),  # Prometheus, the kubelet
        ("0.0.0.0", "[fd00::7]:9464", 200),
        ("0.0.0.0", "watcher:9464", 200),
        ("0.0.0.0", "watcher.monitoring.svc:9464", 200),
        ("0.0.0.0", "watcher.monitoring.svc.cluster.local", 200),
        ("0.0.0.0", "localhost:9464", 200),
        ("0.0.0.0", "Watcher.Acme.example:9464", 200),  # configured
        ("0.0.0.0", "evil.example", 403),
        ("0.0.0.0", "acme.example", 403),
        ("0.0.0.0", "10.0.0.7.evil.example", 403),
        ("0.0.0.0", "svc.evil.example", 403),
        ("127.0.0.1", "localhost:9464", 200),
        ("127.0.0.1", "watcher.acme.example", 200),
        ("127.0.0.1", "watcher", 403),
        ("127.0.0.1", "10.0.0.7", 403),
    ],
)
async def test_the_telemetry_listener_answers_no_page_whose_name_was_rebound(
    tmp_path: Path, listens_on: str, host: str, status: int
) -> None:
    environ = {
        "WATCHER_TELEMETRY__HOST": listens_on,
        "WATCHER_TELEMETRY__HOSTS": "watcher.acme.example",
    }
    async with opened(tmp_path, **environ) as (daemon, _):
        transport = httpx.ASGITransport(create_telemetry(daemon))
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
            answer = await client.get("/metrics", headers={"host": host})
    assert answer.status_code == status
    assert answer.headers["x-content-type-options"] == "nosniff"
