"""A made-up upstream on loopback: the task API's shapes, limits and faults, without its work."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

GET_TASK = "GET /v1/tasks/{task_id}"
_WINDOW = 60.0

Fault = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FakeUpstream:
    """Serves the tasks it is given. `limit` is requests a minute for each route; None sets none."""

    def __init__(self, *, api_key: str = "sk_made_up", limit: int | None = None) -> None:
        self._api_key = api_key
        self._limit = limit
        self._tasks: dict[str, dict[str, Any]] = {}
        self._spent: dict[str, deque[float]] = {}
        self.fault: Fault | None = None
        self.faults: dict[str, Fault] = {}
        self.asked: Counter[str] = Counter()
        self.answered: Counter[int] = Counter()

    def set(self, task_id: str, status: str, **fields: Any) -> None:
        """Show a task with this status from now on; `fields` stay as they were where they are not given."""
        shown = self._tasks.setdefault(
            task_id,
            {"task_id": task_id, "task_type": None, "inputs": None, "outputs": None, "additional_data": None},
        )
        shown.update(fields, status=status)

    def remove(self, task_id: str) -> None:
        """Know nothing of a task any more."""
        self._tasks.pop(task_id, None)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Serve on a free port of loopback; gives the base URL."""
        app = web.Application()
        app.router.add_get("/v1/tasks/{task_id}", self._get_task)
        async with served(app) as url:
            yield url

    async def _get_task(self, request: web.Request) -> web.StreamResponse:
        task_id = request.match_info["task_id"]
        self.asked[task_id] += 1
        response = await self._answer(request, task_id)
        self.answered[response.status] += 1
        return response

    async def _answer(self, request: web.Request, task_id: str) -> web.StreamResponse:
        if fault := self.faults.get(task_id) or self.fault:
            return await fault(request)
        if request.headers.get("Authorization") != f"Bearer {self._api_key}":
            return failure(401, "Invalid API key", "AuthenticationError")
        if wait := self._over_limit(GET_TASK):
            return failure(429, f"Rate limit exceeded for {GET_TASK}", "RateLimitError", {"Retry-After": str(wait)})
        if (task := self._tasks.get(task_id)) is None:
            return failure(404, f"Task {task_id} not found", "NotFoundError")
        return web.json_response(task)

    def _over_limit(self, route: str) -> int:
        if self._limit is None:
            return 0
        now = asyncio.get_running_loop().time()
        spent = self._spent.setdefault(route, deque())
        while spent and now - spent[0] >= _WINDOW:
            spent.popleft()
        if len(spent) >= self._limit:
            return max(int(_WINDOW - (now - spent[0])) + 1, 1)
        spent.append(now)
        return 0


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
    response = web.StreamResponse(headers={"Content-Length": "1000", "Content-Type": "application/json"})
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
        yield site.name if not site.name.endswith(":0") else f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
