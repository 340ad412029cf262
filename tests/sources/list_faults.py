"""What may be wrong with a task list: each fault answers its requests in place of the fake API."""

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import anyio
import httpx

from tests.sources.harness import LIST_PATH, Harness
from tests.support.fake_upstream import Forward, Response, intercept
from watcher.testing.mixpeek_request import Request

Fault = Callable[[Request, Forward], Any]


def install(harness: Harness, fault: Fault) -> None:
    """Let `fault` answer all requests of the list."""

    async def answer(request: Request, forward: Forward) -> Response:
        if request.path != LIST_PATH:
            return await forward(request)
        answered: Response = await fault(request, forward)
        return answered

    intercept(harness.upstream, answer)


def requested_ids(request: Request) -> list[str]:
    conditions = json.loads(request.body).get("filters", {}).get("AND", ())
    return [task_id for condition in conditions for task_id in condition["value"]]


def filter_cap(count: int) -> Fault:
    """The filter silently uses the first IDs only."""

    async def fault(request: Request, forward: Forward) -> Response:
        body = json.loads(request.body)
        for condition in body.get("filters", {}).get("AND", ()):
            condition["value"] = condition["value"][:count]
        return await forward(replace(request, body=json.dumps(body).encode()))

    return fault


def page_cap(count: int) -> Fault:
    """The page silently ends after so many items."""

    async def fault(request: Request, forward: Forward) -> Response:
        status, headers, body = await forward(request)
        content = json.loads(body)
        if status == 200:
            content = {"results": content["results"][:count], "pagination": {"next_cursor": None}}
        return status, headers, json.dumps(content).encode()

    return fault


def fails_if_large(ids: int, status: int) -> Fault:
    """More IDs than this are answered with `status`, 403 by a gateway; 0 resets the connection, -1
    times out.
    """

    async def fault(request: Request, forward: Forward) -> Response:
        if len(requested_ids(request)) <= ids:
            return await forward(request)
        return await failure(status)

    return fault


def fails_with(bad_ids: set[str], status: int) -> Fault:
    """A request with one of these IDs is answered with `status`."""

    async def fault(request: Request, forward: Forward) -> Response:
        if not bad_ids & set(requested_ids(request)):
            return await forward(request)
        return await failure(status)

    return fault


def endless(results: str) -> Fault:
    """Each page has a fresh cursor: "same" items for ever, or "none", or a cursor of "70 KB"."""
    numbers = itertools.count(1)

    async def fault(request: Request, forward: Forward) -> Response:
        status, headers, body = await forward(replace(request, query={"limit": "1000"}))
        content = json.loads(body)
        if results == "none":
            content["results"] = []
        cursor = f"c{next(numbers)}" + ("x" * 70_000 if results == "70 KB" else "")
        content["results"] = content["results"][:-1]
        content["pagination"] = {"next_cursor": cursor, "next_page": True}
        return status, headers, json.dumps(content).encode()

    return fault


async def failure(status: int) -> Response:
    if status == -1:
        await anyio.sleep(3600)
    if status <= 0:
        raise httpx.ReadError("connection reset")
    if status == 403:
        return status, {}, b"<html>Request blocked</html>"
    error = {"success": False, "status": status, "error": {"message": "no", "type": "X"}}
    return status, {}, json.dumps(error).encode()
