"""A made-up upstream on loopback: the task API with its rate limits and its faults, without its work."""

import asyncio
import json
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from watcher.testing.mixpeek_api import Refusal, Request, TaskApi

GET_TASK = "GET /v1/tasks/{task_id}"
_WINDOW = 60.0
_LARGEST_BODY = 16 * 1024 * 1024

Fault = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FakeUpstream:
    """Serves `api`. `limit` is requests a minute for each route (None sets none), `latency` seconds before each answer.

    `fault` answers in its place where it is set; `faults` are those of single tasks asked for by GET, `route_faults`
    those of whole routes. `asked` counts the GETs of each task, `requests` those of each route, `answered` statuses.
    """

    def __init__(
        self, *, api_key: str = "sk_made_up", limit: int | None = None, latency: float = 0.0
    ) -> None:
        self.api = TaskApi()
        self.limit = limit
        self.tells_limit = False
        self.latency = latency
        self.fault: Fault | None = None
        self.faults: dict[str, Fault] = {}
        self.route_faults: dict[str, Fault] = {}
        self.asked: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()
        self.answered: Counter[int] = Counter()
        self._api_key = api_key
        self._spent: dict[str, deque[float]] = {}

    def set(self, task_id: str, status: str, **fields: Any) -> None:
        """Show a task with this status from now on; `fields` stay as they were where they are not given."""
        self.api.set(task_id, status, **fields)

    def remove(self, task_id: str) -> None:
        """Know nothing of a task any more."""
        self.api.tasks.pop(task_id, None)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Serve on a free port of loopback; gives the base URL."""
        app = web.Application(client_max_size=_LARGEST_BODY)
        app.router.add_route("*", "/{path:.*}", self._handle)
        async with served(app) as url:
            yield url

    async def answer(self, asked: Request) -> tuple[int, Mapping[str, str], bytes]:
        """Return the status, headers and body with which a request is answered, faults aside."""
        if self.latency:
            await asyncio.sleep(self.latency)
        headers: dict[str, str] = {}
        try:
            content: Any = self._content(asked, headers)
            status = 200
        except Refusal as refusal:
            status, content = refusal.status, refusal.content
            headers |= refusal.headers
        self.answered[status] += 1
        return status, headers, json.dumps(content).encode()

    def _content(self, asked: Request, headers: dict[str, str]) -> dict[str, Any]:
        found = self.api.route(asked)
        if found is None:
            raise Refusal(404, "Not Found", "NotFoundError")
        template, handle, parts = found
        self.requests[template] += 1
        if template == GET_TASK:
            self.asked[parts[0]] += 1
        if asked.headers.get("authorization") != f"Bearer {self._api_key}":
            raise Refusal(401, "Invalid API key", "AuthenticationError")
        self._count(template, headers)
        return handle(asked, *parts)

    def _count(self, template: str, headers: dict[str, str]) -> None:
        if self.limit is None:
            return
        now = asyncio.get_running_loop().time()
        spent = self._spent.setdefault(template, deque())
        while spent and now - spent[0] >= _WINDOW:
            spent.popleft()
        over = len(spent) >= self.limit
        if not over:
            spent.append(now)
        reset = max(int(_WINDOW - (now - spent[0])) + 1, 1)
        if self.tells_limit:
            remaining = self.limit - len(spent)
            told = {"Limit": self.limit, "Remaining": remaining, "Reset": reset}
            headers |= {f"x-ratelimit-{name.lower()}": str(value) for name, value in told.items()}
        if over:
            raise Refusal(
                429, f"Rate limit exceeded for {template}", "RateLimitError", Retry_After=str(reset)
            )

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        asked = Request(
            method=request.method,
            path=request.rel_url.raw_path,
            query=request.query,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.read(),
        )
        if fault := self._fault(asked):
            self._note(asked)
            response = await fault(request)
            self.answered[response.status] += 1
            return response
        status, headers, body = await self.answer(asked)
        return web.Response(
            status=status, headers=headers, body=body, content_type="application/json"
        )

    def _fault(self, asked: Request) -> Fault | None:
        found = self.api.route(asked)
        if found is None:
            return self.fault
        template, _, parts = found
        alone = self.faults.get(parts[0]) if template == GET_TASK else None
        return alone or self.route_faults.get(template) or self.fault

    def _note(self, asked: Request) -> None:
        if (found := self.api.route(asked)) is not None:
            self.requests[found[0]] += 1
            if found[0] == GET_TASK:
                self.asked[found[2][0]] += 1


def failure(
    status: int, message: str, kind: str = "Error", headers: Mapping[str, str] | None = None
) -> web.StreamResponse:
    """Return an error as the API words it."""
    body = {"success": False, "status": status, "error": {"message": message, "type": kind}}
    return web.json_response(body, status=status, headers=headers)


def answers(status: int, text: str, *, content_type: str = "text/html", **headers: str) -> Fault:
    """Return a fault: this answer, whatever was asked. A header's underscores stand for hyphens."""

    async def answer(_: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, text=text, content_type=content_type, headers=named)

    return answer


async def resets(request: web.Request) -> web.StreamResponse:
    """A fault: the connection is torn down."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def hangs(_: web.Request) -> web.StreamResponse:
    """A fault: no answer, ever."""
    await asyncio.Event().wait()
    return web.Response()


async def cut_off(request: web.Request) -> web.StreamResponse:
    """A fault: the answer ends in the middle."""
    response = web.StreamResponse(
        headers={"Content-Length": "1000", "Content-Type": "application/json"}
    )
    await response.prepare(request)
    await response.write(b'{"task_id": "')
    if request.transport is not None:
        request.transport.close()
    return response


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[str]:
    """Serve `app` on a free port of loopback; gives the base URL."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handle_signals=False)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield (
            site.name
            if not site.name.endswith(":0")
            else f"http://127.0.0.1:{runner.addresses[0][1]}"
        )
    finally:
        await runner.cleanup()
