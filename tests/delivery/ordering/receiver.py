"""A receiver of webhooks that answers as a scenario demands, and keeps what arrived."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import anyio
import httpx

from watcher.core.clock import Clock
from watcher.net.transport import NotSentError

DIGEST_OF = ","
"""What is between the IDs of the events of a digest."""
SMALL = 700
"""Bytes that a receiver with a limit takes; the smallest form of each event has fewer."""
Error = Literal["reset", "no connection", "not sent", "hangs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a receiver answers. With `taken` it keeps the event, whatever it answers. `most` is the
    size up to which it accepts a body.
    """

    status: int = 204
    retry_after: int | None = None
    error: Error | None = None
    taken: bool = False
    most: int | None = None

    def accepts(self, size: int) -> bool:
        if self.most is not None:
            return size <= self.most
        return self.taken or (self.error is None and self.status < 300)

    def rejects(self, size: int) -> bool:
        """Return whether the watcher takes it for a rejection, of this event or of all."""
        concerns_request = 400 <= self.status < 500 and self.status not in _NOT_REJECTED
        return self.error is None and self.most is None and concerns_request

    @property
    def too_large(self) -> bool:
        return self.error is None and self.status in (413, 431)


_CONCERNS_NO_EVENT = frozenset({401, 403, 404})
_NOT_REJECTED = frozenset({408, 410, 413, 425, 429, 431})
ACCEPTS = Answer()
ANSWERS: Mapping[str, Answer] = {
    "accepts": ACCEPTS,
    "accepts, then reset": Answer(error="reset", taken=True),
    "accepts, then hangs": Answer(error="hangs", taken=True),
    **{error: Answer(error=error) for error in ("reset", "no connection", "not sent", "hangs")},
    **{
        str(status): Answer(status=status)
        for status in (302, 400, 401, 403, 404, 405, 408, 410, 413, 415, 422, 425, 429, 431)
    },
    **{str(status): Answer(status=status) for status in (500, 502, 503)},
    "413 above a size": Answer(status=413, most=SMALL),
    "429 for 7 s": Answer(status=429, retry_after=7),
    "503 for 2 min": Answer(status=503, retry_after=120),
    "500 for 40 s": Answer(status=500, retry_after=40),
    "503 for 2 h": Answer(status=503, retry_after=7200),
}


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A request that arrived, with one event or a digest of several. `at` is virtual, `wall` the
    daemon's clock.
    """

    at: float
    wall: float
    event_ids: Sequence[str]
    body: bytes
    answer: Answer

    @cached_property
    def accepted(self) -> bool:
        return self.answer.accepts(len(self.body))

    @property
    def is_digest(self) -> bool:
        return len(self.event_ids) > 1

    @cached_property
    def rejected(self) -> bool:
        """Whether it counts as a rejection. Of a digest only what concerns no event of it does."""
        if self.is_digest and self.answer.status not in _CONCERNS_NO_EVENT:
            return False
        return self.answer.rejects(len(self.body))


@dataclass(kw_only=True)
class Receiver(httpx.AsyncBaseTransport):
    """Answers with each of `cycle` in turn, after `latency` seconds; the tasks in `rejecting` get
    their own answer. `begins` is called as a request arrives, `ends` once it is answered.
    """

    wall: Clock
    cycle: Sequence[Answer] = (ACCEPTS,)
    latency: float = 0.0
    rejecting: dict[str, Answer] = field(default_factory=dict)
    arrivals: list[Arrival] = field(default_factory=list)
    in_flight: int = 0

    def begins(self, arrival: Arrival) -> None:
        """Overridden by who checks."""

    def ends(self, arrival: Arrival) -> None:
        """Overridden by who checks."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        arrival = Arrival(
            at=anyio.current_time(),
            wall=self.wall(),
            event_ids=request.headers["webhook-id"].split(DIGEST_OF),
            body=body,
            answer=self._answer(json.loads(body)["data"].get("task_id")),
        )
        self.begins(arrival)
        self.arrivals.append(arrival)
        self.in_flight += 1
        try:
            await anyio.sleep(self.latency)
            return await self._respond(arrival)
        finally:
            self.in_flight -= 1
            self.ends(arrival)

    def _answer(self, task_id: str | None) -> Answer:
        if task_id in self.rejecting:
            return self.rejecting[task_id]
        return self.cycle[len(self.arrivals) % len(self.cycle)]

    async def _respond(self, arrival: Arrival) -> httpx.Response:
        answer = arrival.answer
        match answer.error:
            case "reset":
                raise httpx.ReadError("connection reset by peer")
            case "no connection":
                raise httpx.ConnectError("could not connect")
            case "not sent":
                raise NotSentError("its name could not be resolved")
            case "hangs":
                await anyio.sleep_forever()
        if arrival.accepted:
            return httpx.Response(204)
        wait = answer.retry_after
        headers = {} if wait is None else {"retry-after": str(wait)}
        return httpx.Response(answer.status, headers=headers, content=b"no")
