"""A source of type `http` in virtual time: requests, paging, what is sent where, and budgets."""

import json
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Any

import anyio
import httpx
import pytest
from prometheus_client import CollectorRegistry

from tests.support.virtual_time import wall
from watcher.core.errors import SourceError, SourceFailure
from watcher.core.interfaces.source import Endpoint
from watcher.core.tasks import Answer, NotInPage, Observation, TaskUnreadable
from watcher.polling.source_check import check_source
from watcher.sources.http import Settings, create
from watcher.sources.http.source import HttpSource, ListedSource
from watcher.telemetry.metrics import Metrics

pytestmark = pytest.mark.anyio

TOKEN = "tk_made_up_0123456789"
Handler = Callable[[httpx.Request], httpx.Response]


class Site:
    """A source, and the requests that it sends to `respond`."""

    def __init__(self, respond: Handler, **changes: Any) -> None:
        self.requests: list[httpx.Request] = []
        self._respond = respond
        values: dict[str, Any] = {
            "name": "jobs",
            "base_url": "https://jobs.example/v1",
            "token": TOKEN,
            "get": "/jobs/{id}?full=1",
            "item": {"id": "id", "status": "state", "error": "why"},
            **({} if "requests" in changes else {"requests_per_minute": None}),
        }
        settings = Settings.model_validate(values | changes)
        metrics = Metrics(CollectorRegistry(), "test").source("jobs")
        transport = httpx.MockTransport(self._answer)
        self.source: HttpSource = create(settings, transport=transport, metrics=metrics, wall=wall)

    @property
    def targets(self) -> list[str]:
        return [str(request.url).removeprefix("https://jobs.example") for request in self.requests]

    async def single(self, *task_ids: str) -> list[Answer]:
        return await poll(self.source.single, *task_ids)

    async def shared(self, *task_ids: str) -> list[Answer]:
        assert self.source.shared is not None
        return await poll(self.source.shared, *task_ids)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self._respond(request)


async def poll(endpoint: Endpoint, *task_ids: str) -> list[Answer]:
    await endpoint.admit()
    async with aclosing(endpoint.fetch(task_ids)) as parts:
        return [answer async for part in parts for answer in part]


def answering(status: int, body: object, **headers: str) -> Handler:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: httpx.Response(status, json=body, headers=named)


def seen(answers: Sequence[Answer]) -> dict[str, str]:
    return {
        answer.task_id: answer.status if isinstance(answer, Observation) else type(answer).__name__
        for answer in answers
    }


# One task


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        (None, "authorization", f"Bearer {TOKEN}"),
        ("x-api-key: {token}", "x-api-key", TOKEN),
        ("Authorization: ApiKey {token}", "authorization", f"ApiKey {TOKEN}"),
    ],
)
async def test_the_token_is_in_the_header_of_auth(
    auth: str | None, header: str, value: str
) -> None:
    changes = {} if auth is None else {"auth": auth}
    site = Site(answering(200, {"id": "a", "state": "done"}), **changes)
    assert seen(await site.single("a")) == {"a": "COMPLETED"}
    assert site.requests[0].headers[header] == value
    assert site.targets == ["/v1/jobs/a?full=1"]


async def test_an_id_of_several_parts_fills_the_path() -> None:
    site = Site(
        answering(200, {"id": 7, "state": "done"}),
        id="{owner}:{id}",
        get="/{owner}/jobs/{id}?v={zone}",
        vars={"zone": "eu"},
    )
    assert seen(await site.single("me:7")) == {"me:7": "COMPLETED"}
    assert site.targets == ["/v1/me/jobs/7?v=eu"]
    (answer,) = await site.single("no-colon")
    assert isinstance(answer, TaskUnreadable)
    assert "{owner}:{id}" in answer.reason
    assert len(site.requests) == 1


@pytest.mark.parametrize(
    ("status", "body", "changes", "expected"),
    [
        (404, {"error": "no such job"}, {}, "TaskNotFound"),
        (410, {"error": "expired"}, {}, "TaskNotFound"),
        (202, {"id": "a", "state": "running"}, {}, "IN_PROGRESS"),
        (202, "", {"http_statuses": {202: "IN_PROGRESS"}}, "IN_PROGRESS"),
        (303, "", {"http_statuses": {303: "COMPLETED"}}, "COMPLETED"),
        (200, {"id": "a"}, {"absent": "COMPLETED"}, "COMPLETED"),
        (200, {"id": "a"}, {}, "TaskUnreadable"),
        (404, {"x": 1}, {"http_statuses": {404: "CANCELED"}}, "CANCELED"),
    ],
)
async def test_what_an_answer_means(
    status: int, body: Any, changes: dict[str, Any], expected: str
) -> None:
    site = Site(answering(status, body), **changes)
    assert seen(await site.single("a")) == {"a": expected}


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (404, [], SourceFailure.NOT_FOUND),
        (404, {"detail": "Not Found"}, SourceFailure.NOT_FOUND),
        (410, None, SourceFailure.REJECTED),
        (200, {"id": "b", "state": "done"}, SourceFailure.PROTOCOL),
        (200, {"state": "done"}, SourceFailure.PROTOCOL),
        (303, {"id": "a", "state": "done"}, SourceFailure.REDIRECT),
        (422, {"detail": "not a UUID"}, SourceFailure.REJECTED),
    ],
)
async def test_what_is_no_answer(status: int, body: Any, reason: SourceFailure) -> None:
    with pytest.raises(SourceError) as caught:
        await Site(answering(status, body)).single("a")
    assert caught.value.reason is reason


async def test_a_403_with_nothing_remaining_is_a_rate_limit() -> None:
    spent = answering(
        403, {"message": "rate limit"}, x_ratelimit_remaining="0", x_ratelimit_reset="40"
    )
    site = Site(spent, requests="60/1m")
    with pytest.raises(SourceError) as caught:
        await site.single("a")
    assert caught.value.reason is SourceFailure.RATE_LIMITED
    assert site.source.single.wait() > 30


# Lists


def jobs(*numbers: int, state: str = "running") -> list[dict[str, Any]]:
    return [{"id": number, "state": state} for number in numbers]


PAGES = [jobs(9, 8, 7), jobs(6, 5, 4), jobs(3, 2, 1)]


def by_cursor(request: httpx.Request) -> httpx.Response:
    number = int(request.url.params.get("after") or 0)
    more = number < 2
    return httpx.Response(
        200, json={"data": PAGES[number], "next": str(number + 1), "has_more": more}
    )


def by_offset(request: httpx.Request) -> httpx.Response:
    number = int(request.url.params.get("offset", 0)) // 3
    return httpx.Response(200, json={"data": PAGES[number] if number < 3 else []})


def by_page(request: httpx.Request) -> httpx.Response:
    number = int(request.url.params.get("page", 1)) - 1
    return httpx.Response(200, json={"data": PAGES[number] if number < 3 else []})


def by_link(request: httpx.Request) -> httpx.Response:
    number = int(request.url.params.get("p", 0))
    link = f'</v1/jobs?p={number + 1}>; rel="next", </v1/jobs?p=0>; rel="first"'
    headers = {"link": link} if number < 2 else {"link": '</v1/jobs?p=0>; rel="first"'}
    return httpx.Response(200, json={"data": PAGES[number]}, headers=headers)


def by_url(request: httpx.Request) -> httpx.Response:
    number = int(request.url.params.get("p", 0))
    url = f"https://jobs.example/v1/jobs?p={number + 1}" if number < 2 else None
    return httpx.Response(200, json={"data": PAGES[number], "next": url})


WAYS: list[tuple[Handler, dict[str, Any]]] = [
    (by_cursor, {"cursor": "next", "param": "after", "while": "has_more"}),
    (by_offset, {"offset": "offset", "size": 3}),
    (by_page, {"page": "page"}),
    (by_link, {"link": "next"}),
    (by_url, {"url": "next"}),
]


def listed(following: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"list": {"get": "/jobs?limit=3", "items": "data", "next": following, **changes}}


@pytest.mark.parametrize(("respond", "following"), WAYS)
async def test_pages_are_read_until_all_tasks_are_seen(
    respond: Handler, following: dict[str, Any]
) -> None:
    site = Site(respond, **listed(following))
    assert seen(await site.shared("8", "5")) == {"8": "IN_PROGRESS", "5": "IN_PROGRESS"}
    assert len(site.requests) == 2
    assert seen(await site.shared("1")) == {"1": "IN_PROGRESS"}
    assert len(site.requests) == 5
    assert all(request.headers["authorization"] == f"Bearer {TOKEN}" for request in site.requests)


@pytest.mark.parametrize(("respond", "following"), WAYS)
async def test_discovery_reads_the_list_and_continues_at_a_cursor(
    respond: Handler, following: dict[str, Any]
) -> None:
    site = Site(respond, **listed(following))
    assert isinstance(site.source, ListedSource)
    pages = [page async for page in site.source.discover_tasks({})]
    ids = [task.task_id for page in pages for task in page.tasks]
    assert ids == [str(number) for number in range(9, 0, -1)]
    again = site.source.discover_tasks({}, pages[0].next_cursor)
    async with aclosing(again):
        assert [task.task_id for task in (await anext(again)).tasks] == ["6", "5", "4"]


async def test_a_task_beyond_the_list_is_polled_alone_and_nothing_is_read_for_it() -> None:
    site = Site(by_page, **listed({"page": "page"}, pages=2))
    assert seen(await site.shared("9", "1")) == {"9": "IN_PROGRESS", "1": "NotInPage"}
    assert len(site.requests) == 2
    assert seen(await site.shared("9", "1")) == {"9": "IN_PROGRESS", "1": "NotInPage"}
    assert len(site.requests) == 3
    assert await site.shared("1") == [NotInPage(task_id="1")]
    assert len(site.requests) == 3


async def test_a_next_page_at_another_host_is_rejected() -> None:
    for url in ("https://evil.example/jobs?p=1", "http://jobs.example/v1/jobs?p=1", "//evil/x"):
        site = Site(answering(200, {"data": PAGES[0], "next": url}), **listed({"url": "next"}))
        with pytest.raises(SourceError, match="another host"):
            await site.shared("1")
        assert len(site.requests) == 1


async def test_a_list_without_an_end_ends() -> None:
    endless = answering(200, {"data": PAGES[0], "next": "same"})
    site = Site(endless, **listed({"cursor": "next", "param": "after"}))
    assert seen(await site.shared("1")) == {"1": "NotInPage"}
    assert len(site.requests) == 2


async def test_one_sweep_at_a_time_counts_how_many_requests_it_takes() -> None:
    site = Site(by_page, **listed({"page": "page"}), requests="60/1m")
    assert site.source.shared is not None
    assert site.source.shared.requests_for(9) == 1
    await site.shared("9", "1")
    assert site.source.shared.requests_for(9) == 3
    await site.source.shared.admit()
    with anyio.move_on_after(5) as waited:
        await site.source.shared.admit()
    assert waited.cancelled_caught
    async with aclosing(site.source.shared.fetch(["9"])) as parts:
        assert [answer async for part in parts for answer in part]
    await site.source.shared.admit()


async def test_get_and_list_share_the_budget_of_the_source() -> None:
    site = Site(by_page, **listed({"page": "page"}), requests="120/1m", per="source")
    await anyio.sleep(60)
    began = anyio.current_time()
    for _ in range(20):
        await site.shared("9")
        with pytest.raises(SourceError):
            await site.single("9")
    assert anyio.current_time() - began > 10
    assert len(site.requests) == 40


async def test_tasks_are_requested_by_id_and_a_rejected_id_spoils_no_other() -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        ids = json.loads(request.content)["filter"]["any"]
        if "bad" in ids:
            return httpx.Response(422, json={"detail": "not a UUID"})
        return httpx.Response(200, json=[{"id": one, "state": "done"} for one in ids])

    by_ids = {
        "post": "/jobs/filter",
        "body": {"filter": {"any": "{ids}"}, "limit": 200},
        "ids_most": 200,
    }
    site = Site(respond, list=by_ids)
    ids = [f"job_{number}" for number in range(100)]
    found = seen(await site.shared(*ids[:50], "bad", *ids[50:]))
    assert found.pop("bad") == "NotInPage"
    assert found == dict.fromkeys(ids, "COMPLETED")
    sent = len(site.requests)
    assert sent < 20
    assert len(await site.shared(*ids, "bad")) == 101
    assert len(site.requests) == sent + 1


async def test_ids_can_be_part_of_the_query() -> None:
    site = Site(
        answering(200, [{"id": "a&b", "state": "done"}]),
        list={"get": "/jobs?ids={ids}&x=1", "ids_most": 2},
    )
    assert seen(await site.shared("a&b", "c")) == {"a&b": "COMPLETED", "c": "NotInPage"}
    assert site.targets == ["/v1/jobs?ids=a%26b,c&x=1"]
    assert not isinstance(site.source, ListedSource)


async def test_a_list_that_fails_is_not_used_for_a_while() -> None:
    site = Site(answering(403, {"message": "no"}), **listed({"page": "page"}))
    assert site.source.shared is not None
    assert site.source.shared.capacity > 0
    with pytest.raises(SourceError):
        await site.shared("1")
    assert site.source.shared.capacity == 0
    await anyio.sleep(61)
    assert site.source.shared.capacity > 0


# Checks


@pytest.mark.parametrize(
    ("respond", "changes", "good", "text"),
    [
        (answering(404, {"error": "unknown"}), {}, True, "a made-up ID is unknown"),
        (answering(422, {"detail": "no UUID"}), {}, True, "a made-up ID is rejected"),
        (answering(401, {"error": "bad key"}), {}, False, "check the key"),
        (by_page, listed({"page": "page"}), True, "the list shows 3 items, 3 tasks"),
        (
            answering(200, {"data": jobs(1, state="paused")}),
            listed({"page": "page"}),
            True,
            "unmapped: PAUSED",
        ),
    ],
)
async def test_the_check_of_a_key(
    respond: Handler, changes: dict[str, Any], good: bool, text: str
) -> None:
    check = await check_source(Site(respond, **changes).source)
    assert check.good is good
    assert text in check.text


# Explanations


async def test_an_explanation_names_what_decided() -> None:
    body = {"id": "a", "state": "done", "failed": 2, "why": "boom"}

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/a"):
            headers = {
                "x-ratelimit-remaining-requests": "4999",
                "x-ratelimit-reset-requests": "12s",
            }
            return httpx.Response(200, json=body, headers=headers)
        return httpx.Response(200, json={"data": [body, {"id": "b", "state": "paused"}]})

    rules = [
        {"when": {"state": "other"}, "status": "FAILED"},
        {"when": {"state": "done", "failed": ">0"}, "status": "COMPLETED_WITH_ERRORS"},
    ]
    site = Site(respond, rules=rules, list={"get": "/jobs", "items": "data"})
    found = await site.source.explain("a")
    assert found.request.startswith("GET https://jobs.example/v1/jobs/a?full=1 → 200 in ")
    assert [(one.name, one.path, one.value, one.meaning) for one in found.findings] == [
        ("id", "id", '"a"', None),
        ("rules[0]", "state other", '"done"', None),
        ("rules[1]", "state done, failed >0", '"done", 2', "COMPLETED_WITH_ERRORS (applies)"),
        ("status", "state", '"done"', None),
        ("error", "why", '"boom"', None),
    ]
    assert found.budget == ["4999 remaining, reset in 12 s"]
    assert found.listed == (
        "GET /jobs: 2 items; this task is on page 1; words seen: done 1, paused 1 (not mapped!)"
    )
    assert TOKEN not in repr(found)


async def test_an_explanation_of_an_unmapped_word_and_of_a_failing_list() -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/a"):
            return httpx.Response(200, json={"id": "a", "state": "paused"})
        return httpx.Response(500, json={"error": "no"})

    found = await Site(respond, list={"get": "/jobs", "items": "data"}).source.explain("a")
    assert ("state", "PAUSED (not mapped!)") in [(one.path, one.meaning) for one in found.findings]
    assert found.listed == "GET /jobs fails: HTTP 500 no"
