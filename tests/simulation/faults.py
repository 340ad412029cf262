"""What upstreams and the gateways before them answer instead of the truth.

Each fault is a function of the exchange; `FAULTS` lists them with what they leave to learn.
"""

import email.utils
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from functools import partial
from random import Random
from typing import Any

import httpx

_HTML = {"content-type": "text/html"}
_JSON = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response before it is sent. `seconds` is how long it takes beyond the usual latency."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: _JSON)
    body: bytes = b""
    seconds: float = 0.0


@dataclass(kw_only=True)
class Exchange:
    """A request with its truthful answer. A fault takes tasks that it hides out of `taught`."""

    route: str
    status: int
    content: dict[str, Any]
    headers: dict[str, str]
    taught: set[str]
    spoiled: frozenset[str]
    wall: float
    random: Random

    def truth(self) -> Answer:
        """Return the answer that upstream gives without a fault."""
        body = json.dumps(self.content).encode()
        return Answer(status=self.status, headers={**_JSON, **self.headers}, body=body)

    @property
    def results(self) -> list[dict[str, Any]]:
        """The items of a list; none for any other answer."""
        items: list[dict[str, Any]] = self.content.get("results", [])
        return items


class Hides(Enum):
    """What a fault hides: every answer, lists alone while GET works, single tasks, or nothing."""

    ALL = "all"
    LIST = "list"
    TASKS = "tasks"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`pause` is for how many seconds, at most, its last answer stops the requests."""

    name: str
    hides: Hides
    answer: Callable[[Exchange], Answer]
    pause: float = 0.0


# Nothing arrives


def _disconnects(exchange: Exchange) -> Answer:
    errors: list[httpx.TransportError] = [
        httpx.ConnectError("could not connect"),
        httpx.ReadError("connection reset by peer"),
        httpx.RemoteProtocolError("the response is incomplete"),
        httpx.RemoteProtocolError("the response is not valid HTTP"),
    ]
    raise exchange.random.choice(errors)


def _hangs(exchange: Exchange) -> Answer:
    return Answer(seconds=3600.0)


# An error status


def _api_error(status: int) -> Callable[[Exchange], Answer]:
    error = {"message": "no", "type": "Error"}
    body = json.dumps({"success": False, "status": status, "error": error}).encode()
    return lambda exchange: Answer(status=status, body=body)


def _gateway(status: int, title: str = "Error") -> Callable[[Exchange], Answer]:
    body = f"<html><head><title>{title}</title></head></html>".encode()
    return lambda exchange: Answer(status=status, headers=_HTML, body=body)


def _retry_later(exchange: Exchange, *, seconds: float) -> Answer:
    """A 429 or 503 that names when to come back, in one of the forms in use."""
    moment = datetime.fromtimestamp(exchange.wall + seconds, UTC)
    forms = (
        {"retry-after": f"{seconds:.0f}"},
        {"retry-after": f"{seconds:.1f}"},
        {"retry-after-ms": f"{seconds * 1000:.0f}"},
        {"retry-after": email.utils.format_datetime(moment, usegmt=True)},
        {"retry-after": moment.strftime("%A, %d-%b-%y %H:%M:%S GMT")},
        {"retry-after": moment.strftime("%a %b %e %H:%M:%S %Y")},
    )
    status = exchange.random.choice((429, 503))
    return Answer(status=status, headers={**_JSON, **exchange.random.choice(forms)}, body=b"{}")


# 200 without an answer


def _not_readable(exchange: Exchange) -> Answer:
    truth = exchange.truth()
    bodies = (
        b"",
        b"null",
        b"[]",
        b'"ok"',
        b"{}",
        b"<!doctype html><form action=/login>",
        b"\xff\xfe\x00" + truth.body[:40],
        truth.body[: len(truth.body) // 2],
        b'{"results": {}, "pagination": null}',
    )
    return Answer(
        headers=exchange.random.choice((_JSON, _HTML)), body=exchange.random.choice(bodies)
    )


def _falsely_encoded(exchange: Exchange) -> Answer:
    encoding = exchange.random.choice(("gzip", "deflate", "br", "zstd", "gzip, br"))
    truth = exchange.truth()
    return Answer(headers={**truth.headers, "content-encoding": encoding}, body=truth.body)


# Lists alone


def _of_list(
    answer: Callable[[Exchange], Answer], *, hidden: bool = True
) -> Callable[[Exchange], Answer]:
    def answer_list(exchange: Exchange) -> Answer:
        if not exchange.route.endswith("/list"):
            return exchange.truth()
        if hidden:
            exchange.taught.clear()
        return answer(exchange)

    return answer_list


def _cut(exchange: Exchange) -> Answer:
    """Leave out some of the results, without saying so."""
    kept = [task for task in exchange.results if exchange.random.random() < 0.6]
    return _with_results(exchange, kept)


def _empty(exchange: Exchange) -> Answer:
    return _with_results(exchange, [])


def _endless(exchange: Exchange) -> Answer:
    """Name an ever-fresh next cursor, after the truth, after nothing, or after the same page."""
    cursor = f"{exchange.random.getrandbits(64):x}"
    if exchange.random.random() < 0.1 and "long cursor" not in NOT_YET:
        cursor *= 4400  # 70 KB
    exchange.content["pagination"] = {"next_cursor": cursor, "page_size": 1000}
    return exchange.truth() if exchange.random.random() < 0.5 else _with_results(exchange, [])


def _with_results(exchange: Exchange, kept: list[dict[str, Any]]) -> Answer:
    exchange.content["results"] = kept
    exchange.taught &= {str(task["task_id"]) for task in kept}
    return exchange.truth()


# Single tasks


_BAD_VALUES = (
    b"NaN",
    b"-Infinity",
    b'"\\ud800"',
    b"9" * 5000,
    b"[" * 2000 + b"]" * 2000,
    b"1e999999",
)


def _bad_value(exchange: Exchange) -> Answer:
    """Show a task with a value that cannot be represented; its status can be learnt."""
    marked = _mark(exchange, "outputs")
    if not marked:
        return exchange.truth()
    value = exchange.random.choice(_BAD_VALUES)
    truth = exchange.truth()
    return Answer(status=200, headers=truth.headers, body=truth.body.replace(b'"(bad)"', value))


def _wrong_type(exchange: Exchange) -> Answer:
    """Show a task with a field of the wrong type."""
    name = exchange.random.choice(("status", "task_type", "task_id"))
    marked = _mark(exchange, name, exchange.random.choice((None, 7, [], {}, True)))
    if marked and name != "task_type":
        exchange.taught -= exchange.spoiled
    return exchange.truth()


def _spoils_request(exchange: Exchange) -> Answer:
    """Answer an error to every request that concerns one of these tasks."""
    if not exchange.spoiled & exchange.taught:
        return exchange.truth()
    return _api_error(500 if exchange.route.endswith("/list") else 422)(exchange)


def _mark(exchange: Exchange, name: str, value: object = "(bad)") -> bool:
    tasks = exchange.results or [exchange.content]
    marked = [task for task in tasks if task.get("task_id") in exchange.spoiled]
    for task in marked:
        task[name] = value
    return bool(marked)


# Understood all the same


def _slow(exchange: Exchange) -> Answer:
    truth = exchange.truth()
    seconds = exchange.random.uniform(0.5, 6.0)
    return Answer(status=truth.status, headers=truth.headers, body=truth.body, seconds=seconds)


def _byte_order_mark(exchange: Exchange) -> Answer:
    truth = exchange.truth()
    return Answer(status=truth.status, headers=truth.headers, body=b"\xef\xbb\xbf" + truth.body)


def _accepted(exchange: Exchange) -> Answer:
    truth = exchange.truth()
    status = exchange.random.choice((202, 203)) if truth.status == 200 else truth.status
    return Answer(status=status, headers=truth.headers, body=truth.body)


def _catalogue() -> list[Fault]:
    hides_all = partial(Fault, hides=Hides.ALL)
    hides_list = partial(Fault, hides=Hides.LIST)
    statuses = (400, 402, 407, 410, 422, 426, 500, 501)
    gateways = (302, 403, 404, 405, 500, 502, 504)
    return [
        hides_all(name="disconnects", answer=_disconnects),
        hides_all(name="hangs", answer=_hangs),
        *(hides_all(name=f"api {status}", answer=_api_error(status)) for status in statuses),
        *(hides_all(name=f"gateway {status}", answer=_gateway(status)) for status in gateways),
        hides_all(name="unauthorized", answer=_api_error(401)),
        hides_all(name="rate limited", answer=_api_error(429)),
        hides_all(name="error 1015", answer=_gateway(429, "Error 1015")),
        *(
            hides_all(
                name=f"retry after {seconds:.0f}",
                answer=partial(_retry_later, seconds=seconds),
                pause=seconds,
            )
            for seconds in (4.0, 45.0, 400.0, 86400.0)
        ),
        hides_all(name="unreadable", answer=_not_readable),
        hides_all(name="falsely encoded", answer=_falsely_encoded),
        hides_list(name="list api 404", answer=_of_list(_api_error(404))),
        hides_list(name="list api 422", answer=_of_list(_api_error(422))),
        hides_list(name="list api 501", answer=_of_list(_api_error(501))),
        hides_list(name="list gateway 403", answer=_of_list(_gateway(403))),
        hides_list(name="list gateway 404", answer=_of_list(_gateway(404))),
        hides_list(name="list 502", answer=_of_list(_gateway(502))),
        hides_list(name="list unreadable", answer=_of_list(_not_readable)),
        hides_list(name="list falsely encoded", answer=_of_list(_falsely_encoded)),
        hides_list(name="list cut", answer=_of_list(_cut, hidden=False)),
        hides_list(name="list empty", answer=_of_list(_empty, hidden=False)),
        hides_list(name="list endless", answer=_of_list(_endless, hidden=False)),
        Fault(name="bad value", hides=Hides.NOTHING, answer=_bad_value),
        Fault(name="wrong type", hides=Hides.TASKS, answer=_wrong_type),
        Fault(name="spoils requests", hides=Hides.TASKS, answer=_spoils_request),
        Fault(name="slow", hides=Hides.NOTHING, answer=_slow),
        Fault(name="byte-order mark", hides=Hides.NOTHING, answer=_byte_order_mark),
        Fault(name="202 and 203", hides=Hides.NOTHING, answer=_accepted),
    ]


NOT_YET: Mapping[str, str] = {}
"""Faults that the daemon does not survive yet, each with the reason."""

FAULTS = {fault.name: fault for fault in _catalogue()}
