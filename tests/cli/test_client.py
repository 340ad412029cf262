"""The client of the daemon's API: pages, batches of entries, and errors."""

import json
from typing import Any

import httpx
import pytest

from watcher.cli.address import Address
from watcher.cli.client import Client
from watcher.core.errors import DaemonError

ADDRESS = Address(url="http://daemon", token="hidden")


def client_of(*responses: httpx.Response) -> tuple[Client, list[httpx.Request]]:
    remaining, requests = list(responses), []

    def handler(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return remaining.pop(0)

    return Client(ADDRESS, httpx.MockTransport(handler)), requests


def test_the_client_follows_pages_and_sends_the_token() -> None:
    items = [{"task_id": str(number)} for number in range(3)]
    pages = [{"items": items[:2], "next_cursor": "c"}, {"items": items[2:], "next_cursor": None}]
    client, requests = client_of(*(httpx.Response(200, json=page) for page in pages))
    watches: list[Any] = list(client.watches(state="active", status=[]))
    assert watches == items
    assert [dict(request.url.params) for request in requests] == [
        {"state": "active", "limit": "100"},
        {"state": "active", "limit": "1000", "cursor": "c"},
    ]
    assert requests[0].headers["authorization"] == "Bearer hidden"


def test_the_source_is_the_first_of_the_daemon_unless_it_is_named() -> None:
    status = {"sources": [{"name": "a b"}, {"name": "mixpeek"}]}
    client, requests = client_of(
        *(httpx.Response(200, json=one) for one in (status, {}, {})),
    )
    client.kill(None, "t")
    client.kill("other", "t")
    assert [request.url.raw_path.decode() for request in requests] == [
        "/v1/status",
        "/v1/sources/a%20b/tasks/t",
        "/v1/sources/other/tasks/t",
    ]


def test_tasks_are_added_in_requests_of_a_thousand() -> None:
    client, requests = client_of(*(httpx.Response(201, json={}) for _ in range(3)))
    list(client.add([{"task_id": str(number)} for number in range(2500)]))
    assert [len(json.loads(request.content)) for request in requests] == [1000, 1000, 500]


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (httpx.Response(401), "set WATCHER_API_TOKEN"),
        (
            httpx.Response(404, json={"detail": "'x' is not watched"}),
            "HTTP 404: 'x' is not watched",
        ),
        (httpx.Response(502, text="<html>"), "HTTP 502: not a watcher API"),
        (httpx.Response(200, text="<html>"), "HTTP 200: not a watcher API; check --url"),
        (httpx.Response(200, text="[" * 100_000), "HTTP 200: not a watcher API; check --url"),
        (httpx.Response(200, json=[]), "HTTP 200: not a watcher API; check --url"),
        (httpx.Response(200, json={"items": [1]}), "HTTP 200: not a watcher API; check --url"),
    ],
)
def test_errors_contain_the_message_of_the_daemon(response: httpx.Response, error: str) -> None:
    client, _ = client_of(response)
    with pytest.raises(DaemonError, match=error):
        client.watch("x", None)
