"""The fake Mixpeek API on loopback, with rate limits, latency and faults."""

import asyncio
import json
from collections import Counter, deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiohttp import web

from watcher.testing.faults import Fault, resets
from watcher.testing.loopback import served
from watcher.testing.mixpeek_api import Route, TaskApi
from watcher.testing.mixpeek_request import ApiError, Request

GET_TASK = "GET /v1/tasks/{task_id}"
_WINDOW = 60.0  # seconds
_BODY_LIMIT = 16 * 1024 * 1024


class FakeUpstream:
    """Serves `api`.

    `limit` is the number of requests per minute and route (None: unlimited), `latency` the seconds
    before each answer. A fault replaces the answer: that of `faults` for a GET of this task, else
    that of `route_faults` for this route, else `fault`. Counted are `gets` per task, `requests` and
    `body_bytes` per route, and `responses` per status; `largest_body` is in bytes, per route.
    """

    def __init__(
        self, *, api_key: str = "sk_made_up", limit: int | None = None, latency: float = 0.0
    ) -> None:
        self.api = TaskApi()
        self.limit = limit
        self.sends_rate_limit_headers = False
        self.latency = latency
        self.fault: Fault | None = None
        self.faults: dict[str, Fault] = {}
        self.route_faults: dict[str, Fault] = {}
        self.gets: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()
        self.responses: Counter[int] = Counter()
        self.body_bytes: Counter[str] = Counter()
        self.largest_body: dict[str, int] = {}
        self._api_key = api_key
        self._request_times: dict[str, deque[float]] = {}

    def set(self, task_id: str, status: str, **fields: Any) -> None:
        """Add or update a task; fields that are not named keep their values."""
        self.api.set(task_id, status, **fields)

    def remove(self, task_id: str) -> None:
        self.api.tasks.pop(task_id, None)

    @asynccontextmanager
    async def serve(self, port: int = 0) -> AsyncIterator[str]:
        """Serve on this port of loopback, by default a free one; yields the base URL."""
        app = web.Application(client_max_size=_BODY_LIMIT)
        app.router.add_route("*", "/{path:.*}", self._handle)
        async with served(app, port) as url:
            yield url

    async def answer(self, request: Request, /) -> tuple[int, Mapping[str, str], bytes]:
        """Return status, headers and body of the answer, ignoring faults.

        Raises `ConnectionResetError` where the API breaks the connection.
        """
        if latency := self.latency + self._slowness(request):
            await asyncio.sleep(latency)
        headers: dict[str, str] = {}
        try:
            content: Any = self._content(request, headers)
            status = 200
        except ApiError as error:
            status, content = error.status, error.content
            headers |= error.headers
        self.responses[status] += 1
        return status, headers, json.dumps(content).encode()

    def _slowness(self, request: Request) -> float:
        if self.api.id_lists.fast is None or not request.path.endswith("/tasks/list"):
            return 0.0
        with suppress(ApiError):
            return self.api.id_lists.delay(request.json())
        return 0.0

    def _content(self, request: Request, headers: dict[str, str]) -> dict[str, Any]:
        route = self.api.route(request)
        if route is None:
            raise ApiError(404, "Not Found", "NotFoundError")
        self._count(route)
        size = len(request.body)
        self.body_bytes[route.template] += size
        self.largest_body[route.template] = max(size, self.largest_body.get(route.template, 0))
        if request.headers.get("authorization") != f"Bearer {self._api_key}":
            raise ApiError(401, "Invalid API key", "AuthenticationError")
        self._enforce_limit(route.template, headers)
        return route.handler(request, *route.parameters)

    def _count(self, route: Route) -> None:
        self.requests[route.template] += 1
        if route.template == GET_TASK:
            self.gets[route.parameters[0]] += 1

    def _enforce_limit(self, template: str, headers: dict[str, str]) -> None:
        if self.limit is None:
            return
        now = asyncio.get_running_loop().time()
        times = self._request_times.setdefault(template, deque())
        while times and now - times[0] >= _WINDOW:
            times.popleft()
        exceeded = len(times) >= self.limit
        if not exceeded:
            times.append(now)
        reset = max(int(_WINDOW - (now - times[0])) + 1, 1)
        if self.sends_rate_limit_headers:
            values = {"limit": self.limit, "remaining": self.limit - len(times), "reset": reset}
            headers |= {f"x-ratelimit-{name}": str(value) for name, value in values.items()}
        if exceeded:
            message = f"Rate limit exceeded for {template}"
            raise ApiError(429, message, "RateLimitError", Retry_After=str(reset))

    async def _handle(self, http_request: web.Request) -> web.StreamResponse:
        request = Request(
            method=http_request.method,
            path=http_request.rel_url.raw_path,
            query=http_request.query,
            headers={name.lower(): value for name, value in http_request.headers.items()},
            body=await http_request.read(),
        )
        route = self.api.route(request)
        if fault := self._fault(route):
            if route is not None:
                self._count(route)
            response = await fault(http_request)
            self.responses[response.status] += 1
            return response
        try:
            status, headers, body = await self.answer(request)
        except ConnectionResetError:
            return await resets(http_request)
        return web.Response(
            status=status, headers=headers, body=body, content_type="application/json"
        )

    def _fault(self, route: Route | None) -> Fault | None:
        if route is None:
            return self.fault
        of_task = self.faults.get(route.parameters[0]) if route.template == GET_TASK else None
        return of_task or self.route_faults.get(route.template) or self.fault
