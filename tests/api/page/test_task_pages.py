"""Tasks, batches and deliveries as pages."""

import json
from dataclasses import replace
from urllib.parse import quote

import httpx
import msgspec
import pytest

from tests.api.harness import FakeDaemon, outbox_of_two
from tests.api.page.pages import checked, reached
from tests.support.records import KEY, event, settled, step
from watcher.core.deliveries import DeliveryState
from watcher.core.events import Change
from watcher.core.reading import TaskOrder, TaskPage
from watcher.core.tasks import TaskKey, Watch, WatchState

pytestmark = pytest.mark.anyio

HOSTILE = (
    "<img-src=x-onerror=alert(1)>",
    "\"'><svg-onload=alert(1)>",
    "W" * 250,
    "{{7*7}}{%x%}",
    "javascript:alert(1)",
)
ERROR = "<script>alert(1)</script> \u202e drow \x1b[31m " + "e\u0301" + "\u0301" * 40 + "X" * 8000


async def watched(daemon: FakeDaemon, api: httpx.AsyncClient, *ids: str) -> list[Watch]:
    """Add tasks; return their watches, in order."""
    response = await api.post("/v1/watches", json=[{"task_id": one} for one in ids])
    assert response.status_code == 201, response.text
    return [(await daemon.store.find(one))[0] for one in ids]


async def end(
    daemon: FakeDaemon, watch: Watch, status: str, error: str | None = None, at: float = 100.0
) -> None:
    """Store a transition with its event, for which no delivery is made."""
    change = step(watch, status, at=at)
    after = replace(change.watch, state=WatchState.DONE, error_message=error)
    assert change.event is not None
    body = {
        "data": {"task_id": watch.key.task_id, "source": watch.key.source, "error_message": error}
    }
    stored = replace(change.event, body=json.dumps(body).encode())
    await daemon.store.record([replace(change, watch=after, event=stored)])


async def test_the_list_shows_tasks_with_their_errors(
    api: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    first, second = await watched(daemon, api, "task_a", "task_b")
    await end(daemon, first, "FAILED", "Out of memory")
    page = checked(await api.get("/tasks"))
    assert "task_a" in page.text.replace("\u200b", "")
    assert "Out of memory" in page.text
    failed = checked(await api.get("/tasks?status=FAILED"))
    assert failed.text.count("task_") - failed.text.count("task_id") >= 1
    assert second.key.task_id not in failed.text
    assert "last ended first" in failed.text


@pytest.mark.parametrize("path", ["/tasks/task_1", "/deliveries", "/tasks", "/batches"])
async def test_every_link_of_a_page_is_answered(
    path: str, api: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    await outbox_of_two(daemon, api)
    response = await api.get(path.replace("task_1", KEY.task_id))
    for link in sorted(reached(checked(response), response.url)):
        assert (await api.get(link)).status_code in (200, 303), link


async def test_the_links_of_failures_show_what_was_counted(
    api: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    now = 1_700_000_000.0
    alike = "Failed to process batch: no place on the disk of "
    errors = [f"{alike}{number}" for number in range(3)] + [None, None, " %_&#", " %_&#"]
    names = [f"task_{number}" for number in range(10)]
    new = await watched(daemon, api, *names)
    for watch, error in zip(new[:7], errors, strict=True):
        await end(daemon, watch, "FAILED", error, at=now - 10)
    await end(daemon, new[7], "COMPLETED_WITH_ERRORS", errors[0], at=now - 10)
    await end(daemon, new[8], "FAILED", errors[0], at=now - 90_000)
    await end(daemon, new[9], "COMPLETED", errors[0], at=now - 10)
    response = await api.get("/")
    shown = []
    for link in reached(checked(response), response.url):
        if "since=" in link:
            page = checked(await api.get(link))
            assert "changed since 2023-11-13T22:14:00" in page.text
            shown.append("".join(name[-1] for name in names if name in page.text))
    assert sorted(shown) == ["012", "01234567", "34", "56"]


async def test_the_form_of_a_list_keeps_the_error_that_it_is_of(api: httpx.AsyncClient) -> None:
    for error in ("", "x y "):
        page = checked(await api.get("/tasks", params={"error": error, "status": "FAILED"}))
        inputs = [one for one in page.of("input") if one.get("type") == "hidden"]
        hidden = {one["name"]: one["value"] for one in inputs}
        assert hidden == {"error": error, "status": "FAILED"}


async def test_an_id_leads_to_its_page(api: httpx.AsyncClient, daemon: FakeDaemon) -> None:
    await watched(daemon, api, "task_a")
    response = await api.get("/tasks?q=task_a")
    assert (response.status_code, response.headers["location"]) == (303, "tasks/task_a")
    checked(await api.get("/tasks?q=task_a&status=FAILED"))
    checked(await api.get("/tasks?q=task_"))


async def test_no_match_keeps_the_text(api: httpx.AsyncClient, daemon: FakeDaemon) -> None:
    await watched(daemon, api, "task_a")
    page = checked(await api.get("/tasks?q=nothinglikethis"))
    assert "No task matches." in page.text
    assert [one["value"] for one in page.of("input") if one.get("name") == "q"] == [
        "nothinglikethis"
    ]


@pytest.mark.parametrize(
    "query",
    ["cursor=x", "since=yesterday", "label=nothing", "rows=x", f"q={'x' * 257}", "rows=a~b&top=x"],
)
async def test_what_a_list_cannot_understand(query: str, api: httpx.AsyncClient) -> None:
    checked(await api.get(f"/tasks?{query}"), 422)


async def test_a_live_list_shows_the_same_rows_and_counts_newer_ones(
    api: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    first, second = await watched(daemon, api, "task_a", "task_b")
    page = checked(await api.get("/tasks"))
    live = page.of("main")[0]["data-live"] or ""
    assert live.startswith("./tasks?")
    await watched(daemon, api, "task_c")
    await end(daemon, first, "COMPLETED")
    again = checked(await api.get(f"/{live.removeprefix('./')}"))
    ids = [row["id"] for row in again.of("tr") if row.get("id")]
    assert ids == ["mixpeek~task_b", "mixpeek~task_a"]
    assert "Show 1 newer" in again.text
    assert "Completed" in again.text
    assert again.of("main")[0]["data-live"] == live
    assert second.key.task_id == "task_b"


async def test_a_row_that_matches_no_longer_is_dimmed(
    api: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    (watch,) = await watched(daemon, api, "task_a")
    page = checked(await api.get("/tasks?state=active"))
    live = (page.of("main")[0]["data-live"] or "").removeprefix("./")
    await end(daemon, watch, "COMPLETED")
    (row,) = [row for row in checked(await api.get(f"/{live}")).of("tr") if row.get("id")]
    assert row["class"] == "faded"


async def test_a_task_shows_what_happened_and_who_was_notified(
    api: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    (watch,) = await watched(daemon, api, "task_a")
    first = step(watch, "IN_PROGRESS", channels=())
    second = step(first.watch, "FAILED")
    for change, later in ((first, 1.0), (second, 61.5)):
        assert change.event is not None
        at = watch.added_at + later
        await daemon.store.record([replace(change, event=replace(change.event, at=at))])
    await daemon.store.settle([settled(1, DeliveryState.FAILED)])
    page = checked(await api.get("/tasks/task_a"))
    for text in ("Added to the watchlist", "In progress", "Failed", "+1 min", "backend", "failed"):
        assert text in page.text
    assert "not sent: a first status that is not terminal needs initial: true" in page.text
    assert "watcher replay --channel backend --task task_a" in page.text
    assert "watcher retry 1" in page.text
    assert page.of("details")


async def test_a_task_that_is_not_watched(api: httpx.AsyncClient) -> None:
    page = checked(await api.get("/tasks/task_none"), 404)
    assert "watcher add task_none" in page.text


async def test_a_task_of_two_sources(api: httpx.AsyncClient) -> None:
    both = [{"task_id": "task_a", "source": name} for name in ("mixpeek", "other")]
    assert (await api.post("/v1/watches", json=both)).status_code == 201
    page = checked(await api.get("/tasks/task_a"))
    assert {"../tasks/task_a?source=mixpeek", "../tasks/task_a?source=other"} <= set(page.links)
    checked(await api.get("/tasks/task_a?source=other"))
    checked(await api.get("/tasks/task_a?source=none"), 404)


async def test_a_batch_shows_its_failures(api: httpx.AsyncClient, daemon: FakeDaemon) -> None:
    watches = await watched(daemon, api, "task_a", "task_b", "task_c")
    for watch, status in zip(watches, ("FAILED", "COMPLETED", "IN_PROGRESS"), strict=True):
        change = step(watch, status)
        error = "Out of memory" if status == "FAILED" else None
        after = replace(change.watch, batch="batch_1", error_message=error)
        await daemon.store.record([replace(change, watch=after)])
    page = checked(await api.get("/batches/batch_1"))
    assert "1 of 3 failed, 1 running" in page.text
    assert "Out of memory" in page.text
    listed = checked(await api.get("/batches"))
    assert "1 of 3 failed, 1 running" in listed.text
    assert (await api.get("/tasks?q=batch_1")).headers["location"] == "batches/batch_1"
    checked(await api.get("/batches/batch_none"), 404)


@pytest.mark.parametrize("state", ["failed", "pending", "delivered"])
async def test_deliveries_in_each_state(
    state: str, api: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    empty = checked(await api.get(f"/deliveries?state={state}"))
    assert any(word in empty.text for word in ("No delivery", "Nothing was delivered"))
    await outbox_of_two(daemon, api)
    checked(await api.get(f"/deliveries?state={state}&channel=backend"))
    checked(await api.get(f"/deliveries?state={state}&channel=unknown"))


async def test_what_the_outbox_cannot_understand(api: httpx.AsyncClient) -> None:
    checked(await api.get("/deliveries?state=lost"), 422)
    checked(await api.get("/deliveries?cursor=x"), 422)


@pytest.mark.parametrize("task_id", HOSTILE)
async def test_hostile_texts_are_shown_as_text(
    task_id: str, api: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    key = TaskKey("mixpeek", task_id)
    labels = {"<b>": "<i>&\"'"}
    entry = {"task_id": task_id, "labels": labels}
    assert (await api.post("/v1/watches", json=entry)).status_code == 201
    (watch,) = await daemon.store.find(task_id)
    change = step(watch, "FAILED")
    after = replace(change.watch, error_message=ERROR, batch=task_id, task_type="<script>")
    body = msgspec.json.encode({"data": {"task_id": task_id, "error_message": ERROR}})
    assert change.event is not None
    stored = replace(change.event, body=body)
    await daemon.store.record([Change(watch=after, expected_sequence=0, event=stored)])
    for path in (
        "/",
        "/tasks",
        "/tasks?status=FAILED",
        f"/tasks/{quote(task_id, safe='')}",
        "/batches",
        f"/batches/{quote(task_id, safe='')}",
        "/deliveries?state=pending",
        f"/tasks?q={quote(task_id[:200], safe='')}&label=%3Cb%3E:1&type=%22%3E%3Cscript%3E",
    ):
        response = await api.get(path)
        page = checked(response)
        assert not {"img", "i"} & {tag for tag, _ in page.tags}, path
        assert len(page.of("script")) == 2, path
        for unseen in ("\u202e", "\x1b", "\u0301" * 9):
            assert unseen not in response.text, path
    assert key.task_id == task_id


async def test_the_last_events_of_sources_are_no_transitions(
    api: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    of_source = replace(event(1, key=None, order_key="x"), type="source.recovered", sequence=None)
    await daemon.store.record_outage(of_source, None)
    assert "Last transitions" not in checked(await api.get("/")).text


async def test_a_search_whose_time_is_over_shows_the_ids_that_begin_with_the_text(
    api: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    await watched(daemon, api, "task_12", "task_13", "other")

    async def stopped(*_: object) -> TaskPage:
        return TaskPage(
            watches=(), order=TaskOrder.ADDED, top=None, next_cursor="7", complete=False
        )

    daemon.store.list_tasks = stopped
    page = checked(await api.get("/tasks?q=task_1"))
    rows = [row["id"] for row in page.of("tr") if row.get("id")]
    assert rows == ["mixpeek~task_12", "mixpeek~task_13"]
    assert "Searched for a moment" in page.text


async def test_live_deliveries_stay_where_they_are(
    api: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    await outbox_of_two(daemon, api)
    page = checked(await api.get("/deliveries?state=pending"))
    live = page.of("main")[0]["data-live"] or ""
    (watch,) = await watched(daemon, api, "task_new")
    await daemon.store.record([step(watch, "FAILED")])
    again = checked(await api.get(f"/{live.removeprefix('./')}"))
    rows = [[row["id"] for row in one.of("tr") if row.get("id")] for one in (page, again)]
    assert rows == [["delivery-2"], ["delivery-2"]]
    assert "Show 1 newer" in again.text
    assert again.of("main")[0]["data-live"] == live
    for wrong in ("top=x", "rows=1,x", "rows=" + "1," * 51, f"reason={'x' * 257}"):
        checked(await api.get(f"/deliveries?{wrong}"), 422)


async def test_a_live_delivery_stays_in_its_list_when_its_state_changes(
    api: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    await outbox_of_two(daemon, api)
    live = checked(await api.get("/deliveries?state=pending")).of("main")[0]["data-live"] or ""
    await daemon.store.settle([settled(2, DeliveryState.DELIVERED)])
    again = checked(await api.get(f"/{live.removeprefix('./')}"))
    (row,) = [one for one in again.of("tr") if one.get("id")]
    assert (row["id"], row["class"]) == ("delivery-2", "faded")
    assert "No delivery is waiting" in checked(await api.get("/deliveries?state=pending")).text


async def test_failed_deliveries_are_listed_by_their_error(
    api: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    await outbox_of_two(daemon, api)
    failed = replace(settled(2, DeliveryState.FAILED), last_error="503: <busy>")
    await daemon.store.settle([failed])
    both = checked(await api.get("/deliveries?state=failed&channel=backend"))
    (link,) = [one for one in both.links if "reason=" in one]
    one = checked(await api.get(f"/{link.removeprefix('./')}"))
    assert [row["id"] for row in one.of("tr") if row.get("id")] == ["delivery-2"]
    assert "watcher retry --channel backend" in one.text
    none = checked(await api.get("/deliveries?state=failed&reason=404"))
    assert "No delivery matches." in none.text
