"""The modelled upstream: the fake API over tasks that change in virtual time, with faults.

It keeps what the invariants need: which requests arrived when, which statuses each task has shown,
and when each task's state could last be learnt.
"""

import asyncio
import copy
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import httpx

from tests.simulation.faults import Answer, Exchange, Fault, Hides
from tests.simulation.limit_headers import MINUTE, Headers, Usage
from tests.simulation.lives import Life, canonical
from tests.simulation.trace import Trace
from watcher.testing.mixpeek_api import TaskApi
from watcher.testing.mixpeek_id_lists import named_ids
from watcher.testing.mixpeek_request import ApiError, Request

LAG = 1.8
"""Seconds that a replica is behind, at most: two answers this old are never 2 s apart."""
LONGEST_WAIT = 300.0
"""Seconds that the watcher waits in one go, whatever upstream says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultWindow:
    """A fault from `begins` to `ends` that a share of the requests meets. `task_ids` are the tasks
    that a fault of single tasks concerns.
    """

    begins: float
    ends: float
    fault: Fault
    share: float
    task_ids: frozenset[str] = frozenset()

    @property
    def quiet_until(self) -> float:
        """When the requests go on at the latest, even if its last answer stopped them."""
        return self.ends + min(self.fault.pause, LONGEST_WAIT)

    def hides(self, task_id: str) -> bool:
        """Return whether the fault keeps the state of this task from being learnt."""
        return self.fault.hides is Hides.ALL or (
            self.fault.hides is Hides.TASKS and task_id in self.task_ids
        )


class Upstream:
    """Answers the requests of all processes. `lagging` is the share of answers from a replica that
    is behind. `headers` returns those that say what is left of `limit`, in requests a minute.
    """

    def __init__(
        self,
        lives: Sequence[Life],
        windows: Sequence[FaultWindow],
        *,
        lagging: float,
        page_cap: int,
        limit: int,
        headers: Headers,
        random: Random,
        wall: Callable[[], float],
        trace: Trace,
    ) -> None:
        self.lives = {life.task_id: life for life in lives}
        self.windows = windows
        self.requests: dict[str, list[float]] = defaultdict(list)
        self.shown: dict[str, list[str]] = defaultdict(list)
        self.learnt: dict[str, float] = {}
        self.named: dict[str, float] = {}
        """When a request for changes last named each task."""
        self.learnt_at = self.learnt_wall = 0.0
        self._api = TaskApi()
        self._api.page_cap = page_cap
        self.lagging = lagging
        self._limit = limit
        self._headers = headers
        self._random = random
        self._wall = wall
        self._trace = trace

    def window(self, now: float) -> FaultWindow | None:
        """Return the fault that the next request meets, if any."""
        for window in self.windows:
            if window.begins <= now < window.ends and self._random.random() < window.share:
                return window
        return None

    async def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer one request; raises httpx's errors where nothing arrives."""
        now = _now()
        route = self._api.route(_parsed(request))
        template = f"{request.method} {request.url.path}" if route is None else route.template
        self.requests[template].append(now)
        window = self.window(now)
        await asyncio.sleep(self._random.uniform(0.005, 0.15))
        exchange = self._exchange(request, template)
        name = "" if window is None else f" ({window.fault.name})"
        if window is None:
            answer = exchange.truth()
        else:
            exchange.spoiled = window.task_ids
            if window.fault.hides is Hides.ALL:
                exchange.taught.clear()
            try:
                answer = window.fault.answer(exchange)
            except httpx.TransportError as error:
                self._trace.note("upstream", f"{template}: {type(error).__name__}{name}")
                raise
        if answer.seconds:
            await asyncio.sleep(answer.seconds)
        self._note(exchange, answer, template, name)
        # A stream, because httpx would decode a body here, and fail where the daemon should.
        return httpx.Response(
            answer.status, headers=dict(answer.headers), stream=_Body(answer.body)
        )

    def _note(self, exchange: Exchange, answer: Answer, template: str, name: str) -> None:
        now = _now()
        for task_id in exchange.taught:
            self.learnt[task_id] = now
        if exchange.taught:
            self.learnt_at, self.learnt_wall = now, self._wall()
        if self._trace.kept:
            taught = ", ".join(
                f"{task_id} {self.shown[task_id][-1] if self.shown[task_id] else 'unknown'}"
                for task_id in sorted(exchange.taught)
            )
            self._trace.note("upstream", f"{template}: {answer.status}{name} {taught}")

    def _exchange(self, request: httpx.Request, template: str) -> Exchange:
        late = self._random.uniform(0.0, LAG) if self._random.random() < self.lagging else 0.0
        self._set_tasks(_now() - late)
        parsed = _parsed(request)
        route = self._api.route(parsed)
        taught: set[str] = set()
        try:
            if route is None:
                raise ApiError(404, "Not Found", "NotFoundError")
            content, status = copy.deepcopy(route.handler(parsed, *route.parameters)), 200
            named = self._named_in_condition(parsed)
            taught = self._show(content) | (named & self._api.tasks.keys())
            self.named |= dict.fromkeys(named, _now())
        except ApiError as error:
            content, status = error.content, error.status
            if status == 404 and route is not None:
                taught = set(route.parameters)
        return Exchange(
            route=template,
            status=status,
            content=content,
            headers=self._headers(self._usage(template)),
            taught=taught,
            spoiled=frozenset(),
            wall=self._wall(),
            random=self._random,
        )

    def _set_tasks(self, at: float) -> None:
        """Set the tasks of the fake API to what they are at this time."""
        for task_id, life in self.lives.items():
            word = life.word(at)
            if word is None:
                self._api.tasks.pop(task_id, None)
            else:
                self._api.set(task_id, word, **life.fields(word))

    @staticmethod
    def _named_in_condition(request: Request) -> set[str]:
        """Return the tasks that a request for changes names. Of those that still exist its answer
        shows whether they have changed.
        """
        return named_ids(request.json()["filters"]) if b'"ne"' in request.body else set()

    def _show(self, content: dict[str, Any]) -> set[str]:
        tasks = content.get("results", [content])
        for task in tasks:
            shown, status = self.shown[task["task_id"]], canonical(task["status"])
            if not shown or shown[-1] != status:
                shown.append(status)
        return {task["task_id"] for task in tasks}

    def _usage(self, template: str) -> Usage:
        now = _now()
        recent = [at for at in self.requests[template][-1000:] if now - at < MINUTE]
        return Usage(
            limit=self._limit,
            used=len(recent),
            reset=MINUTE if not recent else recent[0] + MINUTE - now,
            wall=self._wall(),
        )


class _Body(httpx.AsyncByteStream):
    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body


def _parsed(request: httpx.Request) -> Request:
    return Request(
        method=request.method,
        path=request.url.raw_path.decode().partition("?")[0],
        query=dict(request.url.params),
        headers=dict(request.headers),
        body=request.content,
    )


def _now() -> float:
    return asyncio.get_running_loop().time()
