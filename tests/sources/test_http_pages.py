"""Pages and answers of any API: what is readable is read, and nothing else is spoilt."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.test_json_repair import BAD
from watcher.core.errors import SourceError, SourceFailure
from watcher.core.tasks import Observation, Shown, TaskUnreadable
from watcher.net.exchange import Reply
from watcher.sources.http import Settings
from watcher.sources.http.items import ItemReader, detail_of
from watcher.sources.http.pages import Page, PageDecoder

pytestmark = pytest.mark.anyio

ITEM = {
    "id": "job.id",
    "status": ["job.end", "job.state"],
    "type": "kind",
    "error": ["failure.message", "failure"],
    "fields": {"url": "links.self", "runs": "runs", "all": "job"},
}


def settings(**changes: Any) -> Settings:
    values: dict[str, Any] = {
        "name": "jobs",
        "base_url": "https://jobs.example",
        "get": "/jobs/{id}",
        "item": ITEM,
        "list": {
            "get": "/jobs",
            "items": "data.jobs",
            "next": {"cursor": "data.next", "param": "c"},
        },
    }
    return Settings.model_validate(values | changes)


def reader(of: Settings) -> PageDecoder:
    assert of.list is not None
    return PageDecoder(of.list, ItemReader(of.language(), of.id_form))


async def page(body: bytes, **changes: Any) -> Page:
    reply = Reply(status=200, headers={}, body=body, truncated=False)
    return await reader(settings(**changes)).read(reply)


async def shown(body: bytes, **changes: Any) -> dict[str, Shown]:
    return {task.task_id: task for task in (await page(body, **changes)).tasks}


def job(number: int, **fields: Any) -> bytes:
    job = {"id": f"job_{number}", "state": "running"}
    return json.dumps({"job": job, "kind": "x", "links": {"self": f"/{number}"}} | fields).encode()


def page_of(*items: bytes, cursor: bytes = b'"c2"') -> bytes:
    return b'{"data": {"jobs": [%s], "next": %s}}' % (b",".join(items), cursor)


odd = st.sampled_from([b"{}", b"null", b"7", b'"job_9"', b"[]", b'{"job": {"id": []}}', *BAD])
odd_fields = st.dictionaries(
    st.sampled_from(["job", "kind", "failure", "links", "runs"]),
    st.none() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=2),
    max_size=4,
).map(lambda fields: job(9, **fields))
bad_members = st.sampled_from(BAD).map(
    lambda bad: b'{"job": {"id": "job_9", "state": "failed"}, "runs": {"score": %s}}' % bad
)


@given(st.one_of(odd, odd_fields, bad_members), st.integers(0, 4))
async def test_one_odd_item_spoils_no_other(item: bytes, position: int) -> None:
    items = [job(number) for number in range(4)]
    items.insert(position, item)
    found = await page(page_of(*items))
    by_id = {task.task_id: task for task in found.tasks}
    for number in range(4):
        task = by_id[f"job_{number}"]
        assert isinstance(task, Observation)
        assert task.status == "IN_PROGRESS"
        assert json.loads(bytes(task.detail().raw))["additional_data"]["url"] == f"/{number}"
    assert found.cursor == "c2"
    assert found.count == 5


async def test_a_task_beside_a_value_that_is_not_json_has_its_end() -> None:
    bad = b'{"job": {"id": "job_9", "state": "failed"}, "failure": "boom", "runs": {"score": NaN}}'
    found = (await shown(page_of(job(1), bad)))["job_9"]
    assert isinstance(found, Observation)
    detail = found.detail()
    assert (found.status, detail.error_message, detail.upstream_status) == (
        "FAILED",
        "boom",
        "failed",
    )
    assert json.loads(bytes(detail.raw))["additional_data"]["runs"] == {"score": None}
    assert detail.unreadable == ("runs.score",)


@pytest.mark.parametrize("cursor", [b"{}", b"[]", b"null", b"true", *BAD])
async def test_an_odd_cursor_spoils_no_item(cursor: bytes) -> None:
    assert (await shown(page_of(job(1), cursor=cursor))).keys() == {"job_1"}


@pytest.mark.parametrize("body", [b'{"data": {}}', b"{}", b'{"data": {"jobs": null}}'])
async def test_an_absent_list_is_empty(body: bytes) -> None:
    assert (await page(body)).count == 0


@pytest.mark.parametrize(
    "body",
    [b"<html>", b"null", b"7", b'{"data": {"jobs": [{]}}', b"[" * 100_000, b'{"data": [', b""],
)
async def test_what_is_no_page_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(SourceError) as caught:
        await page(body)
    assert caught.value.reason is SourceFailure.PROTOCOL


async def test_a_list_may_be_the_answer_itself() -> None:
    body = b"[%s, null, %s]" % (job(1), job(2))
    assert (await shown(body, list={"get": "/jobs"})).keys() == {"job_1", "job_2"}


async def test_integers_of_any_size_are_exact() -> None:
    body = b'[{"job": {"id": 9007199254740993, "state": 20}, "runs": 9007199254740995}]'
    (task,) = (await page(body, list={"get": "/x"}, statuses={20: "FAILED"})).tasks
    assert isinstance(task, Observation)
    assert (task.task_id, task.status) == ("9007199254740993", "FAILED")
    assert b"9007199254740995" in bytes(task.detail().raw)


async def test_a_deep_item_is_bounded() -> None:
    deep = b'{"job": {"id": "job_9", "state": "failed"}, "runs": %s}' % (b"[" * 900 + b"]" * 900)
    found = await shown(page_of(job(1), deep, job(2)))
    assert found.keys() == {"job_1", "job_9", "job_2"}
    assert len(bytes(found["job_9"].detail().raw)) < 10_000  # type: ignore[union-attr]


async def test_without_a_status_a_task_is_unreadable() -> None:
    (task,) = (await page(page_of(b'{"job": {"id": "a"}}'))).tasks
    assert isinstance(task, TaskUnreadable)


@pytest.mark.parametrize(
    ("item", "changes", "status"),
    [
        ({"job": {"state": "queued"}}, {}, "QUEUED"),
        ({"job": {"state": "weird"}}, {}, "WEIRD"),
        ({"job": {"state": "done", "end": "timed-out"}}, {}, "FAILED"),
        ({"job": {"state": "done", "end": None}}, {}, "COMPLETED"),
        ({"job": {"state": "gone"}}, {"statuses": {"gone": "CANCELED"}}, "CANCELED"),
        ({"job": {"state": True}}, {"statuses": {True: "COMPLETED"}}, "COMPLETED"),
        ({"job": {}}, {"absent": "IN_PROGRESS"}, "IN_PROGRESS"),
        (
            {"job": {"state": "done"}, "failed": 2},
            {"rules": [{"when": {"job.state": "done", "failed": ">0"}, "status": "FAILED"}]},
            "FAILED",
        ),
        (
            {"job": {"state": "done"}, "failed": 0},
            {"rules": [{"when": {"job.state": "done", "failed": ">0"}, "status": "FAILED"}]},
            "COMPLETED",
        ),
        (
            {"job": {"state": "done"}, "failed": "2"},
            {"rules": [{"when": {"failed": ">0"}, "status": "FAILED"}]},
            "COMPLETED",
        ),
        (
            {"job": {"state": "done"}, "error": {}},
            {"rules": [{"when": {"error": "*"}, "status": "FAILED"}]},
            "FAILED",
        ),
        (
            {"job": {"state": "done"}, "ok": 1},
            {"rules": [{"when": {"ok": True}, "status": "FAILED"}]},
            "COMPLETED",
        ),
        (
            {"job": {"state": "done"}, "code": 3},
            {"rules": [{"when": {"code": [2, 3]}, "status": "FAILED"}]},
            "FAILED",
        ),
    ],
)
def test_the_status_of_an_item(item: Any, changes: dict[str, Any], status: str) -> None:
    of = settings(**changes)
    items = ItemReader(of.language(), of.id_form)
    record = msgspec.json.decode(json.dumps(item), type=items.shape.type)
    assert items.status_of(record) == status


@pytest.mark.parametrize(
    ("item", "error"),
    [
        ({"failure": {"message": "boom"}}, "boom"),
        ({"failure": "boom"}, "boom"),
        ({"failure": {"code": 7}}, '{"code":7}'),
        ({"failure": ["a", "b"]}, '["a","b"]'),
        ({"failure": 137}, "137"),
        ({"failure": ""}, None),
        ({}, None),
    ],
)
def test_the_error_of_an_item(item: Any, error: str | None) -> None:
    assert detail_of(json.dumps(item).encode(), settings().language()).error_message == error


def test_without_any_field_there_is_no_additional_data() -> None:
    assert bytes(detail_of(b"{}", settings().language()).raw) == b'{"additional_data":null}'
