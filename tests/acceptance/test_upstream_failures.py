"""Failures of the upstream API."""

import pytest

from tests.acceptance.daemon import Site, add
from watcher.testing.faults import answers, cut_off, hangs, resets

pytestmark = pytest.mark.anyio


FAULTS = {
    "503 with Retry-After": answers(503, "{}", content_type="application/json", Retry_After="1"),
    "429": answers(429, "{}", content_type="application/json", Retry_After="1"),
    "500": answers(500, "oops"),
    "html": answers(200, "<html>Sign in</html>"),
    "null": answers(200, "null", content_type="application/json"),
    "404 of a gateway": answers(404, "<html>no such app</html>"),
    "redirect": answers(302, "", Location="http://127.0.0.1:9/"),
    "reset": resets,
    "cut off": cut_off,
    "hang": hangs,
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_after_a_failure_of_the_upstream_every_change_is_sent_and_the_log_is_short(
    site: Site, fault: str
) -> None:
    names = [f"task_{number}" for number in range(8)]
    for name in names:
        site.upstream.set(name, "IN_PROGRESS")
    async with site.daemon() as daemon:
        await add(daemon, *names)
        await site.until_received("task.in_progress", 8)
        site.upstream.fault = FAULTS[fault]
        requested = site.upstream.requests.total()
        await site.until(lambda: site.upstream.requests.total() > requested + 2)
        for name in names:
            site.upstream.set(name, "COMPLETED")
        site.upstream.fault = None
        await site.until_received("task.completed", 8)
        async with daemon.client() as client:
            assert (await client.get("/healthz")).status_code == 200
            assert (await client.get("/readyz")).status_code == 200
        assert await daemon.stop() == 0

    assert len(daemon.messages("warning")) + len(daemon.messages("error")) <= 4
    assert "task.lost" not in site.event_types()


async def test_an_invalid_key_is_one_line_and_does_not_affect_health(site: Site) -> None:
    async with site.daemon(MIXPEEK_API_KEY="sk_wrong_0123456789") as daemon:
        await add(daemon, "task_1", "task_2", "task_3")
        await site.until(lambda: daemon.messages("error"))
        async with daemon.client() as client:
            assert (await client.get("/healthz")).status_code == 200
            assert 'watcher_source_up{source="mixpeek"} 0.0' in (await client.get("/metrics")).text
        assert await daemon.stop() == 0

    assert len(daemon.messages("error")) == 1
    assert "sk_wrong" not in "".join(daemon.log)
