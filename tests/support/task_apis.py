"""Five task APIs that differ in all that a source of type `http` describes, with request limits."""

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import httpx
from aiohttp import web

from watcher.testing.loopback import served

TOKEN = "tk_made_up_0123456789"
COUNT = 100
PAGE = 25
_BASE = 9007199254740993
"""IDs from here on are not exact in a double."""

Answer = tuple[int, Mapping[str, str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request, without its host."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    url: str


@dataclass(slots=True)
class Counted:
    """Requests so far, and how many exceeded the limit of so many a minute."""

    requests: int = 0
    exceeded: int = 0
    times: deque[float] = field(default_factory=deque)

    def note(self, now: float, limit: int) -> bool:
        """Count a request; return whether it is within the limit."""
        self.requests += 1
        while self.times and now - self.times[0] >= 60:
            self.times.popleft()
        if len(self.times) >= limit:
            self.exceeded += 1
            return False
        self.times.append(now)
        return True


class _Api:
    limit = 60

    def __init__(self) -> None:
        self.ended = False
        self.counted = Counted()

    def failed(self, number: int) -> bool:
        return number % 10 == 0


class OpenAi(_Api):
    """A list with a cursor; a preset."""

    name = "openai"

    def settings(self, url: str) -> dict[str, Any]:
        return {"preset": "openai-batches", "base_url": f"{url}/v1"}

    def task_ids(self) -> Sequence[str]:
        return [f"batch_{number}" for number in range(COUNT)]

    def answer(self, received: Received) -> Answer:
        if received.headers.get("authorization") != f"Bearer {TOKEN}":
            return 401, {}, {"error": {"message": "bad key"}}
        if received.path != "/v1/batches":
            return 200, {}, self._item(int(received.path.rpartition("_")[2]))
        after = received.query.get("after")
        start = COUNT - 1 if after is None else int(after.rpartition("_")[2]) - 1
        items = [self._item(number) for number in range(start, max(start - PAGE, -1), -1)]
        last = items[-1]["id"] if items else None
        return 200, {}, {"data": items, "last_id": last, "has_more": last != "batch_0"}

    def _item(self, number: int) -> dict[str, Any]:
        status = "in_progress"
        if self.ended:
            status = "failed" if self.failed(number) else "completed"
        errors = {"data": [{"message": f"line {number}"}]} if status == "failed" else None
        counts = {"total": 5, "failed": 0, "completed": 5}
        return {
            "id": f"batch_{number}",
            "status": status,
            "endpoint": "/v1/embeddings",
            "errors": errors,
            "output_file_id": f"file_{number}",
            "request_counts": counts,
        }

    def expected_fields(self, number: int) -> Mapping[str, Any]:
        return {"output_file": f"file_{number}", "total": 5, "completed": 5, "failed": 0}


class Databricks(_Api):
    """Integer IDs, two words, a page token; a preset."""

    name = "databricks"

    def settings(self, url: str) -> dict[str, Any]:
        return {"preset": "databricks-runs", "base_url": url}

    def task_ids(self) -> Sequence[str]:
        return [str(_BASE + number) for number in range(COUNT)]

    def answer(self, received: Received) -> Answer:
        if received.path.endswith("/get"):
            return 200, {}, self._item(int(received.query["run_id"]) - _BASE)
        start = int(received.query.get("page_token", COUNT - 1))
        items = [self._item(number) for number in range(start, max(start - PAGE, -1), -1)]
        following = {"next_page_token": str(start - PAGE)} if start >= PAGE else {}
        return 200, {}, {"runs": items, **following} if items else {}

    def _item(self, number: int) -> dict[str, Any]:
        state = {"life_cycle_state": "RUNNING"}
        if self.ended:
            result = "FAILED" if self.failed(number) else "SUCCESS"
            state = {"life_cycle_state": "TERMINATED", "result_state": result}
            state["state_message"] = f"line {number}" if self.failed(number) else ""
        return {
            "run_id": _BASE + number,
            "run_name": "job",
            "run_page_url": f"/r/{number}",
            "state": state,
        }

    def expected_fields(self, number: int) -> Mapping[str, Any]:
        return {"url": f"/r/{number}"}


class GitHub(_Api):
    """A `Link` header, and fixed parts of the path; a preset."""

    name = "github"

    def settings(self, url: str) -> dict[str, Any]:
        fixed = {"owner": "octo", "repo": "hello"}
        return {"preset": "github-runs", "base_url": url, "vars": fixed}

    def task_ids(self) -> Sequence[str]:
        return [str(1000 + number) for number in range(COUNT)]

    def answer(self, received: Received) -> Answer:
        if not received.path.endswith("/runs"):
            return 200, {}, self._item(int(received.path.rpartition("/")[2]) - 1000)
        page = int(received.query.get("page", 1))
        start = COUNT - 1 - (page - 1) * PAGE
        items = [self._item(number) for number in range(start, max(start - PAGE, -1), -1)]
        link = f'<{received.url}?per_page=25&page={page + 1}>; rel="next"'
        return 200, {"link": link} if start >= PAGE else {}, {"workflow_runs": items}

    def _item(self, number: int) -> dict[str, Any]:
        conclusion = None
        if self.ended:
            conclusion = "timed_out" if self.failed(number) else "success"
        status = "completed" if conclusion else "in_progress"
        url = f"https://github.com/octo/hello/actions/runs/{1000 + number}"
        item = {"id": 1000 + number, "status": status, "conclusion": conclusion, "html_url": url}
        return item | {"path": ".github/workflows/build.yml", "head_branch": "main"}

    def expected_fields(self, number: int) -> Mapping[str, Any]:
        url = f"https://github.com/octo/hello/actions/runs/{1000 + number}"
        return {"url": url, "branch": "main"}


class Prefect(_Api):
    """A list by IDs, requested with POST."""

    name = "prefect"

    def settings(self, url: str) -> dict[str, Any]:
        return {
            "type": "http",
            "base_url": url,
            "get": "/flow_runs/{id}",
            "item": {
                "id": "id",
                "status": "state_type",
                "type": "deployment_id",
                "error": "state.message",
                "fields": {"name": "name"},
            },
            "list": {
                "post": "/flow_runs/filter",
                "body": {"flow_runs": {"id": {"any_": "{ids}"}}, "limit": 200},
                "ids_most": 200,
            },
            "statuses": {"CRASHED": "FAILED"},
        }

    def task_ids(self) -> Sequence[str]:
        return [f"run-{number}" for number in range(COUNT)]

    def answer(self, received: Received) -> Answer:
        if received.method == "GET":
            return 200, {}, self._item(received.path.rpartition("/")[2])
        ids = json.loads(received.body)["flow_runs"]["id"]["any_"]
        return 200, {}, [self._item(one) for one in ids]

    def _item(self, task_id: str) -> dict[str, Any]:
        number = int(task_id.rpartition("-")[2])
        word, message = "RUNNING", None
        if self.ended:
            word = "CRASHED" if self.failed(number) else "COMPLETED"
            message = f"line {number}" if self.failed(number) else None
        state = {"type": word, "message": message}
        run = {"id": task_id, "name": f"n{number}", "deployment_id": "d1"}
        return run | {"state_type": word, "state": state}

    def expected_fields(self, number: int) -> Mapping[str, Any]:
        return {"name": f"n{number}"}


class RunPod(_Api):
    """IDs of two parts, and no list: one request per task, of which many are allowed."""

    name = "runpod"
    limit = 2400

    def settings(self, url: str) -> dict[str, Any]:
        return {
            "type": "http",
            "base_url": f"{url}/v2",
            "id": "{endpoint}:{id}",
            "get": "/{endpoint}/status/{id}",
            "item": {"id": "id", "status": "status", "error": "error", "fields": {"took": "took"}},
        }

    def task_ids(self) -> Sequence[str]:
        return [f"ep{number % 3}:job-{number}" for number in range(COUNT)]

    def answer(self, received: Received) -> Answer:
        _, version, endpoint, _, job = received.path.split("/")
        number = int(job.rpartition("-")[2])
        assert (version, endpoint) == ("v2", f"ep{number % 3}")
        item: dict[str, Any] = {"id": job, "status": "IN_PROGRESS", "took": number}
        if self.ended:
            item["status"] = "FAILED" if self.failed(number) else "COMPLETED"
            item |= {"error": f"line {number}"} if self.failed(number) else {}
        return 200, {}, item

    def expected_fields(self, number: int) -> Mapping[str, Any]:
        return {"took": number}


KINDS = (OpenAi, Databricks, GitHub, Prefect, RunPod)
Kind = OpenAi | Databricks | GitHub | Prefect | RunPod


def settings_of(api: Kind, url: str) -> dict[str, Any]:
    """Return the settings of a source for an API at `url`, at what the API allows."""
    polling = {"min_interval": "1s", "max_interval": "5s"}
    own = {"name": api.name, "token": TOKEN, "requests": f"{api.limit}/1m", "polling": polling}
    return own | api.settings(url)


def limited(api: Kind, received: Received, now: float) -> Answer:
    """Return the answer of an API, or a 429."""
    if not api.counted.note(now, api.limit):
        return 429, {"retry-after": "1"}, {"error": {"message": "too many requests"}}
    return api.answer(received)


def transport(api: Kind, now: Callable[[], float]) -> httpx.MockTransport:
    """Return a transport that passes every request to `api`."""

    async def answer(request: httpx.Request) -> httpx.Response:
        url = request.url
        received = Received(
            method=request.method,
            path=url.path,
            query=dict(url.params),
            headers=request.headers,
            body=request.content,
            url=f"{url.scheme}://{url.netloc.decode()}{url.path}",
        )
        status, headers, body = limited(api, received, now())
        return httpx.Response(status, headers=headers, json=body)

    return httpx.MockTransport(answer)


def serve(api: Kind, now: Callable[[], float]) -> AbstractAsyncContextManager[str]:
    """Serve an API on loopback; yields the base URL."""

    async def handle(request: web.Request) -> web.StreamResponse:
        received = Received(
            method=request.method,
            path=request.path,
            query=dict(parse_qsl(request.query_string)),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.read(),
            url=f"{request.scheme}://{request.host}{request.path}",
        )
        status, headers, body = limited(api, received, now())
        return web.json_response(body, status=status, headers=headers)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    return served(app)
