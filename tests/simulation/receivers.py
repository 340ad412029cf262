"""The modelled receivers of webhooks: each verifies what it receives, and fails at times."""

import asyncio
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx

from tests.simulation.trace import Trace
from tests.support.event_schema import fault_of
from tests.support.records import SECRET
from watcher.testing.receiver import verify


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverFault:
    """How a receiver fails. `accepts` says that it has taken the webhook before it fails."""

    name: str
    answer: Callable[[Random], httpx.Response]
    accepts: bool = False
    seconds: float = 0.0

    @property
    def of_body(self) -> bool:
        """Whether the watcher takes it for a rejection of this event alone."""
        return self.name in ("400", "413", "422")


def _raises(error: httpx.TransportError) -> Callable[[Random], httpx.Response]:
    def answer(random: Random) -> httpx.Response:
        raise error

    return answer


def _status(status: int, **headers: str) -> Callable[[Random], httpx.Response]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda random: httpx.Response(status, headers=named, content=b"no")


def _retry_after(random: Random) -> httpx.Response:
    seconds = random.choice(("1", "7", "30", "120"))
    return httpx.Response(random.choice((429, 503)), headers={"retry-after": seconds})


RECEIVER_FAULTS = {
    fault.name: fault
    for fault in (
        ReceiverFault(
            name="no connection", answer=_raises(httpx.ConnectError("could not connect"))
        ),
        ReceiverFault(name="reset", answer=_raises(httpx.ReadError("reset"))),
        ReceiverFault(
            name="taken, then reset", answer=_raises(httpx.ReadError("reset")), accepts=True
        ),
        ReceiverFault(name="taken, then late", answer=_status(204), accepts=True, seconds=20.0),
        ReceiverFault(name="hangs", answer=_status(204), seconds=3600.0),
        ReceiverFault(name="retry after", answer=_retry_after),
        ReceiverFault(name="302", answer=_status(302, location="https://elsewhere.example")),
        *(
            ReceiverFault(name=str(status), answer=_status(status))
            for status in (400, 401, 403, 404, 408, 410, 413, 422, 425, 429, 500, 502, 503, 504)
        ),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverWindow:
    """A receiver fails in this way from `begins` to `ends`, for a share of the requests."""

    begins: float
    ends: float
    fault: ReceiverFault
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A webhook that arrived. `rejected_body` says that its body was rejected, and `accepted` that
    the receiver has taken it. `at` is virtual, `wall` the daemon's clock.
    """

    at: float
    wall: float
    event_id: str
    event: Mapping[str, Any]
    accepted: bool
    rejected_body: bool


@dataclass(kw_only=True)
class Receiver:
    """One channel's receiver, with everything that arrived, in order."""

    name: str
    windows: Sequence[ReceiverWindow]
    random: Random
    wall: Callable[[], float]
    trace: Trace
    arrivals: list[Arrival] = field(default_factory=list)
    bodies: dict[tuple[str, int], bytes] = field(default_factory=dict)
    too_large: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    arrived: Callable[[Arrival], None] = lambda arrival: None

    async def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer one webhook; raises httpx's errors where the connection breaks."""
        await asyncio.sleep(self.random.uniform(0.002, 0.08))
        body = await request.aread()
        fault = self._fault()
        self._take(request, body, fault)
        await asyncio.sleep(self.random.uniform(0.002, 0.08))
        if fault is None:
            return httpx.Response(204)
        await asyncio.sleep(fault.seconds)
        return fault.answer(self.random)

    def _read(self, event_id: str, body: bytes) -> Mapping[str, Any]:
        """Read an event as a strict receiver does; what it cannot read breaks a rule."""
        try:
            event: dict[str, Any] = json.loads(body, parse_float=_number, parse_constant=_number)
            json.dumps(event, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            self.problems.append(f"{self.name}: cannot read {event_id}: {error}")
            return {"type": "(unreadable)", "data": {}}
        if (fault := fault_of(body)) is not None:
            self.problems.append(f"{self.name}: {event_id} does not match the schema: {fault}")
        return event

    def _fault(self) -> ReceiverFault | None:
        now = asyncio.get_running_loop().time()
        for window in self.windows:
            if window.begins <= now < window.ends and self.random.random() < window.share:
                return window.fault
        return None

    def _take(self, request: httpx.Request, body: bytes, fault: ReceiverFault | None) -> None:
        event_id = request.headers["webhook-id"]
        event = self._read(event_id, body)
        arrival = Arrival(
            at=asyncio.get_running_loop().time(),
            wall=self.wall(),
            event_id=event_id,
            event=event,
            accepted=fault is None or fault.accepts,
            rejected_body=fault is not None and fault.of_body,
        )
        if not verify(SECRET, request.headers, body):
            self.problems.append(f"{self.name}: the signature of {event_id} is wrong")
        if fault is not None and fault.name == "413":
            self.too_large.add(event_id)
        # A smaller form follows a 413; each form is the same on every attempt.
        form = (event_id, len(body))
        if self.bodies.setdefault(form, body) != body:
            self.problems.append(f"{self.name}: the body of {event_id} has changed")
        self.arrivals.append(arrival)
        self.trace.note("receiver", f"{self.name}: {_described(event)}{_outcome(fault)}")
        self.arrived(arrival)


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a number of JSON")
    return value


def _described(event: Mapping[str, Any]) -> str:
    data = event["data"]
    subject = data.get("task_id") or data.get("source") or data.get("channel")
    sequence = f" {data['sequence']}" if "sequence" in data else ""
    return f"{event['type']} {subject}{sequence}"


def _outcome(fault: ReceiverFault | None) -> str:
    return "" if fault is None else f" ({fault.name})"
