"""A task API with a GET and a list, for the source contract suite."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tests.contract.source_fakes import KEY
from watcher.sources.http import Settings
from watcher.testing.faults import Fault
from watcher.testing.loopback import served


class Fake:
    """Implements `tests.contract.source_fakes.SourceFake`."""

    def __init__(self, key: str = KEY) -> None:
        self.fault: Fault | None = None
        self.request_count = 0
        self._key = key
        self._jobs: dict[str, dict[str, Any]] = {}

    def settings(self, url: str, *, timeout: float = 10.0) -> Settings:
        return Settings.model_validate(
            {
                "name": "jobs",
                "base_url": url,
                "token": KEY,
                "get": "/jobs/{id}",
                "item": {
                    "id": "job.id",
                    "status": "job.state",
                    "type": "job.kind",
                    "error": "job.failure.message",
                    "fields": {"extra": "job.note"},
                },
                "list": {"get": "/jobs", "items": "jobs"},
                "requests_per_minute": None,
                "timeout": timeout,
            }
        )

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_get("/jobs", self._list)
        app.router.add_get("/jobs/{id}", self._get)
        async with served(app) as url:
            yield url

    def set_task(
        self,
        task_id: str,
        status: str,
        *,
        task_type: str | None = None,
        error: str | None = None,
        extra: str | None = None,
    ) -> None:
        job = {"id": task_id, "state": status, "kind": task_type, "note": extra}
        self._jobs[task_id] = {"job": job | ({"failure": {"message": error}} if error else {})}

    async def _get(self, request: web.Request) -> web.StreamResponse:
        job = self._jobs.get(request.match_info["id"])
        error = (404, {"error": {"message": "no such job"}}) if job is None else (200, job)
        return await self._answer(request, *error)

    async def _list(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, 200, {"jobs": list(self._jobs.values())[::-1]})

    async def _answer(self, request: web.Request, status: int, body: Any) -> web.StreamResponse:
        self.request_count += 1
        if self.fault is not None:
            return await self.fault(request)
        if request.headers.get("authorization") != f"Bearer {self._key}":
            status, body = 401, {"error": {"message": "Invalid API key"}}
        return web.json_response(body, status=status, dumps=json.dumps)
