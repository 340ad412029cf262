"""What people do from the page: each action is one of the API, and shows its effect first."""

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.api.harness import FakeDaemon, opened, outbox_of_two
from tests.api.page.pages import checked, reached
from tests.support.fake_upstream import transport
from tests.support.records import settled, step
from watcher.api.page.flash import flash_of, flash_query
from watcher.core.clock import wall_clock
from watcher.core.deliveries import DeliveryState
from watcher.delivery.channel_check import ChannelCheck
from watcher.sources.mixpeek import source as mixpeek
from watcher.testing.mixpeek_server import FakeUpstream

pytestmark = pytest.mark.anyio

TOKEN = "a-token-of-at-least-16"
OURS = {"sec-fetch-site": "same-origin"}
QUESTIONS = [
    "/channels/backend/pause",
    "/channels/backend/replay",
    "/channels/backend/replay?since=2h",
    "/deliveries/retry?channel=backend&error=boom",
    "/deliveries/purge?channel=backend&state=failed",
    "/tasks/task_1/replay",
    "/tasks/task_1/remove",
    "/tasks/task_1/kill",
    "/batches/batch_1/replay?channel=backend",
]
ACTIONS = [
    *(path.partition("?")[0] for path in QUESTIONS if "since" not in path),
    "/channels/backend/resume",
    "/channels/backend/test",
    "/deliveries/1/retry",
    "/tasks/task_9/watch",
    "/batches/batch_1/cancel",
]


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[tuple[FakeDaemon, httpx.AsyncClient]]:
    async with opened(tmp_path, WATCHER_API_TOKEN=TOKEN) as (daemon, client):
        client.headers["authorization"] = f"Bearer {TOKEN}"
        await outbox_of_two(daemon, client)
        (watch,) = await daemon.store.find("task_1")
        (other,) = (await client.post("/v1/watches", json={"task_id": "task_2"})).json()["items"]
        assert other["task_id"] == "task_2"
        change = step((await daemon.store.find("task_2"))[0], "IN_PROGRESS", channels=())
        await daemon.store.record([replace(change, watch=replace(change.watch, batch="batch_1"))])
        assert watch.status == "FAILED"
        yield daemon, client


@pytest.fixture
def daemon(guarded: tuple[FakeDaemon, httpx.AsyncClient]) -> FakeDaemon:
    return guarded[0]


@pytest.fixture
def browser(guarded: tuple[FakeDaemon, httpx.AsyncClient]) -> httpx.AsyncClient:
    return guarded[1]


async def send(browser: httpx.AsyncClient, path: str, **fields: str) -> tuple[str, str]:
    """Send a form; return the path it leads to, and what that page says was done."""
    response = await browser.post(path, data=fields, headers=OURS)
    assert response.status_code == 303, response.text
    location = response.headers["location"]
    assert not location.startswith(("/", "http")), "a proxy's prefix would be lost"
    target = urlsplit(urljoin(str(response.request.url), location))
    query = {name: values[0] for name, values in parse_qs(target.query).items()}
    text = flash_of(query, TOKEN)
    assert text is not None
    return target.path, text


async def count(daemon: FakeDaemon, state: DeliveryState) -> int:
    return len((await daemon.store.list_deliveries(state, None, 100, None))[0])


@pytest.mark.parametrize("path", QUESTIONS)
async def test_a_question_is_a_page_that_changes_nothing(
    path: str, browser: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    before = await count(daemon, DeliveryState.PENDING)
    page = checked(await browser.get(path))
    (form,) = [form for form in page.of("form") if "logout" not in (form.get("action") or "")]
    assert form["method"] in ("post", "get")
    assert page.of("button")
    assert await count(daemon, DeliveryState.PENDING) == before
    assert not daemon.held


@pytest.mark.parametrize("path", [*QUESTIONS, *ACTIONS])
async def test_without_a_token_there_is_no_action(path: str, tmp_path: Path) -> None:
    async with opened(tmp_path) as (_, client):
        method = "GET" if path in QUESTIONS else "POST"
        page = checked(await client.request(method, path, headers=OURS), 403)
        assert "server.api_token" in page.text


@pytest.mark.parametrize("path", ACTIONS)
@pytest.mark.parametrize(
    "headers", [{}, {"sec-fetch-site": "cross-site"}, {"origin": "https://other.example"}]
)
async def test_a_form_of_another_page_does_nothing(
    path: str, headers: dict[str, str], browser: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    response = await browser.post(path, data={"typed": "backend"}, headers=headers)
    assert response.status_code == 403
    assert not daemon.held
    assert not daemon.tested
    assert await count(daemon, DeliveryState.FAILED) == 1


@pytest.mark.parametrize(
    ("path", "offered"),
    [
        ("/channels", ["channels/backend/test", "channels/backend/pause", "deliveries/purge"]),
        ("/deliveries?state=failed", ["deliveries/retry", "deliveries/1/retry"]),
        ("/tasks/task_1", ["tasks/task_1/replay", "tasks/task_1/remove"]),
        ("/tasks/task_2", ["tasks/task_2/kill"]),
        ("/batches/batch_1", ["batches/batch_1/replay"]),
    ],
)
async def test_each_page_offers_its_actions_and_no_command(
    path: str, offered: list[str], browser: httpx.AsyncClient
) -> None:
    response = await browser.get(path)
    page = checked(response)
    assert [
        action for action in offered if not any(f"/{action}" in link for link in page.links)
    ] == []
    assert "watcher retry" not in page.text
    assert "watcher replay" not in page.text
    for link in sorted(reached(page, response.url)):
        answer = await browser.get(link)
        assert answer.status_code in (200, 303), link
    forms = [str(form["action"]) for form in page.of("form") if form["method"] == "post"]
    for action in forms:
        if "logout" not in action:
            sent = await browser.post(urljoin(str(response.url), action), headers=OURS)
            assert sent.status_code == 303, action


async def test_the_page_of_a_task_sends_a_failed_delivery_again(
    browser: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    await browser.post("/v1/watches", json={"task_id": "task_3"})
    (watch,) = await daemon.store.find("task_3")
    await daemon.store.record([step(watch, "FAILED", at=wall_clock() + 1)])
    await daemon.store.settle([settled(3, DeliveryState.FAILED)])
    response = await browser.get("/tasks/task_3")
    (action,) = [link for link in checked(response).links if link.endswith("deliveries/3/retry")]
    path, text = await send(browser, urljoin("/tasks/task_3", action))
    assert (path, text) == ("/tasks/task_3", "Delivery 3 to backend is queued.")


async def test_a_task_that_is_not_watched_can_be_watched(browser: httpx.AsyncClient) -> None:
    page = checked(await browser.get("/tasks/task_9"), 404)
    assert any(link.endswith("tasks/task_9/watch") for link in page.links)


async def test_pausing_and_resuming(browser: httpx.AsyncClient, daemon: FakeDaemon) -> None:
    assert "1 delivery wait" in (await browser.get("/channels/backend/pause")).text
    path, text = await send(browser, "/channels/backend/pause", reason="moving house")
    assert (path, text) == ("/channels", "backend is paused.")
    assert daemon.held == {"backend": "moving house"}
    _, text = await send(browser, "/channels/backend/resume")
    assert text == "backend is resumed; 1 delivery waited for it."
    assert daemon.held == {}
    response = await browser.post(
        "/channels/backend/pause", data={"reason": "x" * 201}, headers=OURS
    )
    assert "reason: " in checked(response, 422).text


async def test_a_test_message_shows_what_the_receiver_answered(
    browser: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    _, text = await send(browser, "/channels/backend/test")
    assert text == "backend accepted the test message with 204."

    async def rejecting(channel: str, kind: str) -> ChannelCheck:
        return ChannelCheck(status=500, error="500: <b>broken</b>")

    daemon.test_channel = rejecting  # type: ignore[method-assign]
    response = await browser.post("/channels/backend/test", headers=OURS)
    shown = await browser.get(urljoin(str(response.url), response.headers["location"]))
    page = checked(shown)
    assert "backend did not accept the test message: 500: <b>broken</b>" in page.text
    assert "<b>broken" not in shown.text
    (flash,) = [tag for tag in page.of("p") if tag.get("id") == "flash"]
    assert flash["role"] == "status"


async def test_events_of_a_time_range_are_sent_again(
    browser: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    shown = await browser.get("/channels/backend/replay", params={"since": "1970-01-01T00:00:00Z"})
    page = checked(shown)
    assert "Send 1 event to backend again?" in page.text, "one is pending already"
    fields = {
        str(field["name"]): str(field["value"])
        for field in page.of("input")
        if field["type"] == "hidden"
    }
    path, text = await send(browser, "/channels/backend/replay", **fields)
    assert (path, text) == ("/channels", "1 delivery to backend queued.")
    assert await count(daemon, DeliveryState.PENDING) == 2
    wrong = await browser.get("/channels/backend/replay", params={"since": "yesterday"})
    assert "since: a time such as" in checked(wrong, 422).text
    none = await browser.get(
        "/channels/backend/replay",
        params={"since": "1970-01-01T00:00:00Z", "statuses": "canceled, skipped"},
    )
    assert "Send 0 events" in checked(none).text


async def test_failed_deliveries_are_sent_again_one_or_by_error(
    browser: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    path, text = await send(browser, "/deliveries/1/retry")
    assert (path, text) == ("/tasks/task_1", "Delivery 1 to backend is queued.")
    assert await count(daemon, DeliveryState.FAILED) == 0
    path, text = await send(browser, "/deliveries/1/retry", next="deliveries?state=failed")
    assert path == "/deliveries"
    path, _ = await send(browser, "/deliveries/1/retry", next="//evil.example")
    assert path == "/tasks/task_1"
    missing = await browser.post("/deliveries/77/retry", headers=OURS)
    assert "unknown delivery 77" in checked(missing, 404).text


async def test_all_failed_deliveries_of_a_channel_are_sent_again(
    browser: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    chosen = {"channel": "backend"}
    shown = checked(await browser.get("/deliveries/retry", params=chosen))
    assert "Send 1 delivery again?" in shown.text
    other = checked(await browser.get("/deliveries/retry", params={**chosen, "error": "no such"}))
    assert "Send 0 deliveries again?" in other.text
    path, text = await send(browser, "/deliveries/retry", channel="backend")
    assert (path, text) == ("/deliveries", "1 delivery to backend queued.")
    assert await count(daemon, DeliveryState.PENDING) == 2


async def test_a_purge_needs_the_name_of_the_channel(
    browser: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    fields = {"channel": "backend", "state": "pending"}
    response = await browser.post(
        "/deliveries/purge", data={**fields, "typed": "backend2"}, headers=OURS
    )
    assert "Type backend to confirm" in checked(response, 422).text
    assert await count(daemon, DeliveryState.PENDING) == 1
    _, text = await send(browser, "/deliveries/purge", **fields, typed="backend")
    assert text == "1 delivery to backend deleted."
    assert await count(daemon, DeliveryState.PENDING) == 0
    empty = await browser.get("/deliveries/purge", params=fields)
    assert "there are no pending deliveries" in checked(empty, 404).text
    wrong = await browser.get("/deliveries/purge", params={"channel": "x", "state": "done"})
    assert "state: one of" in checked(wrong, 422).text


async def test_a_task_is_watched_removed_and_its_events_are_sent_again(
    browser: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    path, text = await send(browser, "/tasks/task_9/watch")
    assert (path, text) == ("/tasks/task_9", "task_9 is watched.")
    assert daemon.tracked[-1] == "task_9"
    assert "Send 1 event to backend again?" in (await browser.get("/tasks/task_1/replay")).text
    _, text = await send(browser, "/tasks/task_1/replay", channel="backend")
    assert text == "1 delivery to backend queued."
    path, text = await send(browser, "/tasks/task_1/remove", source="mixpeek")
    assert (path, text) == ("/tasks", "task_1 is no longer watched.")
    assert [key.task_id for key in daemon.forgotten] == ["task_1"]
    missing = await browser.get("/tasks/task_1/remove")
    assert "is not watched" in checked(missing, 404).text
    unknown = await browser.post("/tasks/x/watch", data={"source": "nowhere"}, headers=OURS)
    assert "unknown source" in checked(unknown, 422).text


async def test_the_events_of_a_batch_are_sent_again(
    browser: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    (watch,) = await daemon.store.find("task_2")
    change = step(watch, "FAILED")
    await daemon.store.record([replace(change, watch=replace(change.watch, batch="batch_1"))])
    await daemon.store.purge("backend", DeliveryState.PENDING, wall_clock())
    shown = checked(await browser.get("/batches/batch_1/replay"))
    assert "1 event of the 1 task of batch batch_1" in shown.text
    path, text = await send(browser, "/batches/batch_1/replay", channel="backend")
    assert (path, text) == ("/batches/batch_1", "1 delivery to backend queued.")
    missing = await browser.get("/batches/other/replay")
    assert "no task of batch 'other' is watched" in checked(missing, 404).text


def reach(daemon: FakeDaemon) -> FakeUpstream:
    """Give the daemon an upstream in memory."""
    upstream = FakeUpstream()
    settings = mixpeek.Settings(
        base_url="https://upstream", api_key="sk_made_up", requests_per_minute=None, namespace="ns"
    )
    daemon.upstream = mixpeek.create(
        settings,
        transport=transport(upstream),
        metrics=daemon.metrics.source("mixpeek"),
        wall=wall_clock,
    )
    return upstream


async def test_a_task_is_killed_after_its_id_was_typed(
    browser: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    upstream = reach(daemon)
    upstream.set("task_1", "IN_PROGRESS")
    path = "/tasks/task_1/kill"
    response = await browser.post(path, data={"typed": "task_2"}, headers=OURS)
    assert "Type task_1 to confirm" in checked(response, 422).text
    target, text = await send(browser, path, typed="task_1", source="mixpeek")
    assert target == "/tasks/task_1"
    assert text == "Kill accepted; the CANCELED status is reported like any other."
    answer = await browser.get("/v1/watches/task_1")
    assert answer.json()["state"] == "active", "it is polled until its end is seen"


async def test_a_batch_is_canceled_after_its_id_was_typed(
    browser: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    upstream = reach(daemon)
    upstream.set("task_2", "IN_PROGRESS")
    upstream.api.batches["batch_1"] = {
        "batch_id": "batch_1",
        "bucket_id": "bkt_1",
        "task_id": "task_2",
    }
    (watch,) = await daemon.store.find("task_2")
    change = step(watch, "QUEUED", channels=())
    assert change.event is not None
    body = b'{"data":{"additional_data":{"bucket_id":"bkt_1"}}}'
    await daemon.store.record(
        [
            replace(
                change,
                watch=replace(change.watch, batch="batch_1"),
                event=replace(change.event, body=body),
            )
        ]
    )
    shown = checked(await browser.get("/batches/batch_1/cancel"))
    assert "the batch of bucket bkt_1: 1 task of 1 still run" in shown.text
    response = await browser.post("/batches/batch_1/cancel", headers=OURS)
    assert "Type batch_1 to confirm" in checked(response, 422).text
    path, text = await send(browser, "/batches/batch_1/cancel", typed="batch_1")
    assert path == "/batches/batch_1"
    assert "1 cancellations requested, 1 accepted, 0 rejected" in text


async def test_a_batch_without_a_bucket_cannot_be_canceled_here(
    browser: httpx.AsyncClient,
) -> None:
    response = await browser.get("/batches/batch_1/cancel")
    assert "watcher cancel-batch BUCKET BATCH" in checked(response, 409).text


async def test_an_action_is_one_line_in_the_log_with_the_session(
    guarded: tuple[FakeDaemon, httpx.AsyncClient], caplog: pytest.LogCaptureFixture
) -> None:
    _, browser = guarded
    del browser.headers["authorization"]
    await browser.post("/login", data={"token": TOKEN}, headers=OURS)
    caplog.set_level(logging.INFO)
    caplog.clear()
    await send(browser, "/channels/backend/pause", reason="because")
    (line,) = [record.getMessage() for record in caplog.records if "paused" in record.getMessage()]
    assert "paused channel 'backend': 'because', in page session " in line
    assert len(line.rpartition(" ")[2]) == 8


@given(text=st.text(max_size=600), other=st.text(max_size=20))
def test_only_a_text_that_we_signed_is_shown(text: str, other: str) -> None:
    query = flash_query(text, TOKEN)
    assert flash_of(query, TOKEN) == (query["done"] or None)
    assert query["done"] == text or (len(text) > 500 and query["done"].endswith("…"))
    assert flash_of(query, f"{TOKEN}x") is None
    assert flash_of({**query, "by": other}, TOKEN) is None
    assert flash_of({**query, "done": f"{query['done']}{other or 'x'}"}, TOKEN) is None
    assert flash_of({"done": text}, TOKEN) is None
