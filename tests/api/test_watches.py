"""Adding, listing, showing and removing watches."""

import json
from dataclasses import replace
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.harness import (
    FakeDaemon,
    problem,
)
from tests.support.records import request, step

pytestmark = pytest.mark.anyio


async def test_adding_one_and_adding_it_again(api: httpx.AsyncClient, daemon: FakeDaemon) -> None:
    first = await api.post("/v1/watches", json={"task_id": "task_1", "labels": {"team": "search"}})
    again = await api.post("/v1/watches", json={"task_id": "task_1", "labels": {"tier": "1"}})

    assert (first.status_code, again.status_code) == (201, 200)
    assert (first.json()["added"], first.json()["existing"]) == (1, 0)
    assert again.json()["items"][0]["labels"] == {"team": "search", "tier": "1"}
    assert daemon.tracked == ["task_1"]


async def test_labels_that_would_be_too_many_are_an_error_of_the_entry(
    api: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    labels = {f"a{number}": "1" for number in range(20)}
    await api.post("/v1/watches", json={"task_id": "task_1", "labels": labels})
    entries = [{"task_id": "new"}, {"task_id": "task_1", "labels": {"further": "1"}}]
    body = problem(await api.post("/v1/watches", json=entries), 422)
    assert [(one["index"], one["field"]) for one in body["errors"]] == [(1, "labels")]
    assert "at most 20 labels" in body["detail"]
    assert not await daemon.store.find("new")


async def test_a_done_task_is_watched_again_on_demand(
    api: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    await api.post("/v1/watches", json={"task_id": "task_1"})
    await daemon.store.record([step((await daemon.store.find("task_1"))[0], "FAILED")])

    done = (await api.post("/v1/watches", json={"task_id": "task_1"})).json()["items"][0]
    again = await api.post("/v1/watches", json=[{"task_id": "task_1", "again": True}])
    reopened = again.json()["items"][0]

    assert (done["state"], done["terminal"]) == ("done", True)
    assert again.status_code == 200
    assert (reopened["state"], reopened["status"], reopened["terminal"]) == (
        "active",
        "FAILED",
        False,
    )
    assert daemon.tracked == ["task_1", "task_1"]


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
        "batch",
        "added_at",
        "first_seen_at",
        "changed_at",
        "polled_at",
        "next_poll_at",
        "missing_since",
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
        ({"task_id": "a\n"}, "task_id"),
        ({"task_id": "a b"}, "task_id"),
        ({"task_id": "a\u200bb"}, "task_id"),
        ({"task_id": "a\\b"}, "task_id"),
        ({"task_id": "%2e%2E"}, "task_id"),
        ({"task_id": "a%252fb"}, "task_id"),
        ({"task_id": 7}, "task_id"),
        ({}, "task_id"),
        ({"task_id": "a", "source": "nowhere"}, "source"),
        ({"task_id": "a", "labels": {str(number): "x" for number in range(21)}}, "labels"),
        ({"task_id": "a", "labels": {"x": 1}}, "labels.x"),
        ({"task_id": "a", "labels": {"x": "y" * 257}}, "labels.x"),
        ({"task_id": "a", "labels": {"x": "a\U000e0041"}}, "labels.x"),
        ({"task_id": "a", "labels": {"x": "e" + "\u0301" * 9}}, "labels.x"),
        ({"task_id": "a", "labels": {"x:y": "z"}}, "labels.x:y.[key]"),
        ({"task_id": "a", "labels": {"x\u3164": "z"}}, "labels.x\u3164.[key]"),
        ({"task_id": "a", "namespace": "n\x7f"}, "namespace"),
        ({"task_id": "a", "tags": []}, "tags"),
        ("task_1", ""),
    ],
)
async def test_one_invalid_entry_rejects_all_and_is_named(
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


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=60)
    | st.sampled_from(
        [b'{"task_id":"\\ud800"}', b"NaN", b"[" * 5000, b'{"task_id":"a","task_id":"b"}']
    )
    | st.recursive(
        st.none() | st.text(max_size=5) | st.integers(), lambda inner: st.lists(inner, max_size=3)
    ).map(lambda value: json.dumps(value).encode())
)
async def test_any_body_is_accepted_or_rejected_and_never_an_internal_error(
    api: httpx.AsyncClient, content: bytes
) -> None:
    headers = {"content-type": "application/json"}
    response = await api.post("/v1/watches", content=content, headers=headers)
    assert response.status_code in (200, 201, 400, 422)


async def test_lists_are_filtered_by_type_batch_and_text(
    api: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    names = ("task_1", "task_2", "task_3")
    await api.post("/v1/watches", json=[{"task_id": name} for name in names])
    for name, batch, kind, error in zip(
        names,
        ("batch_1", "batch_1", None),
        ("api_x", "api_y", "api_x"),
        ("50% of the disk", None, "Timeout"),
        strict=True,
    ):
        change = step((await daemon.store.find(name))[0], "FAILED")
        watch = replace(change.watch, batch=batch, task_type=kind, error_message=error)
        await daemon.store.record([replace(change, watch=watch)])

    async def listed(**query: str) -> list[str]:
        response = await api.get("/v1/watches", params=query)
        assert response.status_code == 200, response.text
        return [item["task_id"] for item in response.json()["items"]]

    assert await listed(batch="batch_1") == ["task_2", "task_1"]
    assert await listed(batch="batch") == []
    assert await listed(type="api_x") == ["task_3", "task_1"]
    assert await listed(type="API_?", batch="batch_1") == ["task_2", "task_1"]
    assert await listed(search="0% OF") == ["task_1"]
    assert await listed(search="batch_1", type="*_y") == ["task_2"]
    assert await listed(search="task", status="completed") == []
    assert await listed(search="task", state="active") == []
    assert await listed(search="task", limit="2") == ["task_3", "task_2"]
    assert await listed(error="Timeout") == ["task_3"]
    assert await listed(error="") == ["task_2"]
    assert await listed(error="Timeout", since="1970-01-01T00:01:40Z") == ["task_3"]
    assert await listed(error="Timeout", since="1970-01-01T00:01:41Z") == []
    assert await listed(since="1970-01-01T00:01:40Z", status="FAILED", limit="2") == [
        "task_3",
        "task_2",
    ]
    (one,) = (await api.get("/v1/watches", params={"search": "task_1"})).json()["items"]
    assert one["batch"] == "batch_1"


async def test_an_invalid_time_is_an_error_that_names_it(api: httpx.AsyncClient) -> None:
    body = problem(await api.get("/v1/watches", params={"since": "yesterday"}), 422)
    assert "since: invalid RFC 3339 time 'yesterday'" in body["detail"]


@pytest.mark.parametrize("name", ["search", "type", "batch"])
@pytest.mark.parametrize("value", ["", "a\x00b", "\u202e", "x" * 257])
async def test_a_filter_that_is_no_visible_text_is_an_error_that_names_it(
    api: httpx.AsyncClient, name: str, value: str
) -> None:
    body = problem(await api.get("/v1/watches", params={name: value}), 422)
    assert name in body["detail"]


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
    "query",
    [
        *("limit=0", "limit=1001", "limit=x", "state=asleep", "label=x", "cursor=nonsense"),
        "&".join(f"label={number}:x" for number in range(21)),
        "&".join(f"status={number}" for number in range(101)),
    ],
)
async def test_an_invalid_query_is_rejected(api: httpx.AsyncClient, query: str) -> None:
    assert problem(await api.get(f"/v1/watches?{query}"), 422)["errors"]


async def test_one_watch_is_shown_with_its_transitions_and_removed(
    api: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    await api.post("/v1/watches", json={"task_id": "tâsk:1"})
    watch = (await daemon.store.find("tâsk:1"))[0]
    await daemon.store.record([step(watch, "IN_PROGRESS", at=4_000_000_000.0)])

    shown = (await api.get("/v1/watches/t%C3%A2sk%3A1")).json()
    assert shown["transitions"] == [
        {
            "sequence": 1,
            "previous_status": None,
            "status": "IN_PROGRESS",
            "at": "2096-10-02T07:06:40.000000Z",
            "event_id": "msg_tâsk:1_1",
        }
    ]
    assert (await api.delete("/v1/watches/t%C3%A2sk%3A1")).status_code == 204
    assert daemon.forgotten == [watch.key]
    problem(await api.get("/v1/watches/t%C3%A2sk%3A1"), 404)
    problem(await api.delete("/v1/watches/t%C3%A2sk%3A1"), 404)


@pytest.mark.parametrize(
    ("task_id", "path"),
    [
        ("..", "%2E%2E"),
        ("a/../b", "a%2F..%2Fb"),
        ("a b\n", "a%20b%0A"),
        ("%2e", "%252e"),
        ("\u202ea\x1b", "%E2%80%AEa%1B"),
    ],
)
async def test_an_id_that_is_stored_already_can_be_shown_and_removed(
    api: httpx.AsyncClient, daemon: FakeDaemon, task_id: str, path: str
) -> None:
    problem(await api.get(f"/v1/watches/{path}"), 422)
    await daemon.store.add([request(task_id)], 0.0)
    assert (await api.get(f"/v1/watches/{path}")).json()["task_id"] == task_id
    assert (await api.delete(f"/v1/watches/{path}")).status_code == 204
    problem(await api.delete(f"/v1/watches/{path}"), 422)


async def test_a_task_added_again_starts_a_new_history(
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
