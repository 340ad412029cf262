"""What every request must be, on both listeners and before its token is looked at."""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import msgspec
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from watcher.api.clients import at_socket
from watcher.api.hardening import hardened
from watcher.api.limits import BODY_LIMIT, HEADER_LIMIT, VALUES_LIMIT
from watcher.api.origins import Authority, authority_of, is_foreign
from watcher.api.page import access
from watcher.api.problem_responses import problem_response
from watcher.api.problems import Problem

MOST_REQUESTS = 64
"""Requests that are worked on at once, without event streams, which have a limit of their own."""
_UNLIMITED = frozenset({"/healthz", "/v1/events", "/changes"})
WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
"""Methods whose requests may have a body."""
_JSON = "application/json"
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)

Headers = Mapping[bytes, Sequence[str]]


class Admission:
    """Rejects requests that are too large, that no program of ours sends, or of foreign pages."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        is_ours: Callable[[str], bool],
        detail: str,
        origins: Callable[[], Collection[str]] = tuple,
        is_page: Callable[[str], bool] = lambda path: False,
        own_origin: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Accept a `Host` if `is_ours`, else answer 403 with `detail`; and pages of `origins`.

        Paths for which `is_page` holds are those of the page, which has forms and is linked to.
        `own_origin` is the one at which a proxy serves it.
        """
        self._app = app
        self._is_ours = is_ours
        self._detail = detail
        self._origins = origins
        self._is_page = is_page
        self._own_origin = own_origin
        self._working = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = hardened(send)
        problem = _oversized(scope["headers"]) or self._rejection(scope)
        if problem is not None:
            await problem_response(scope, problem)(scope, receive, send)
        elif scope["path"] in _UNLIMITED:
            await self._app(scope, _limited(receive), send)
        else:
            self._working += 1
            try:
                await self._app(scope, _limited(receive), send)
            finally:
                self._working -= 1

    def _rejection(self, scope: Scope) -> Problem | None:
        headers = by_name(scope["headers"])
        target = scope.get("raw_path") or scope["path"].encode()
        if not target.startswith(b"/") and (scope["method"], target) != ("OPTIONS", b"*"):
            return Problem(400, "the target of a request must be a path")
        hosts = headers[b"host"]
        host = authority_of(hosts[0]) if len(hosts) == 1 else None
        if not at_socket(scope):  # where a page comes through a proxy at most
            if not self._is_ours(host.host if host else ""):
                return Problem(403, self._detail)
            if host is None:
                return Problem(400, "a request must have one valid Host")
        if problem := self._foreign(scope, host, headers):
            return problem
        if self._working >= MOST_REQUESTS and scope["path"] not in _UNLIMITED:
            detail = f"{MOST_REQUESTS} requests are being worked on"
            return Problem(503, detail, headers={"retry-after": "1"})
        is_form = self._is_page(scope["path"])
        return _body_problem(scope["method"], headers, access.FORM if is_form else _JSON)

    def _foreign(self, scope: Scope, host: Authority | None, headers: Headers) -> Problem | None:
        origins, sites = headers[b"origin"], headers[b"sec-fetch-site"]
        if self._is_page(scope["path"]):
            return access.foreign_request(scope, host, origins, sites, self._own_origin())
        if is_foreign(host, origins, sites, self._origins()):
            return Problem(403, "pages of other origins are not allowed; see server.cors_origins")
        return None


def by_name(headers: Sequence[tuple[bytes, bytes]]) -> Headers:
    """Return the values of each header, by its name in lower case."""
    # The same name may occur several times.
    named: defaultdict[bytes, list[str]] = defaultdict(list)
    for name, value in headers:
        named[name.lower()].append(value.decode("latin-1"))
    return named


def has_body(headers: Headers) -> bool:
    """Return whether a request has a body, also an empty one of unknown length."""
    return bool(headers[b"transfer-encoding"]) or any(
        length.strip("0") for length in headers[b"content-length"]
    )


def _body_problem(method: str, headers: Headers, expected: str) -> Problem | None:
    types = headers[b"content-type"]
    if method not in WITH_BODY:
        return None
    # A form of another page can send any other type without a preflight request.
    if (types or has_body(headers)) and [_essence(one) for one in types] != [expected]:
        return Problem(415, f"a body must be {expected}")
    return None


def _essence(media_type: str) -> str:
    return media_type.partition(";")[0].strip().lower()


def _oversized(headers: Sequence[tuple[bytes, bytes]]) -> Problem | None:
    if sum(len(name) + len(value) for name, value in headers) > HEADER_LIMIT:
        return Problem(431, f"headers are limited to {HEADER_LIMIT} bytes")
    length = dict(headers).get(b"content-length", b"0")
    if length.isdigit() and int(length) > BODY_LIMIT:
        return Problem(413, f"a body is limited to {BODY_LIMIT} bytes")
    return None


def _limited(receive: Receive) -> Receive:
    """Also limit bodies without a length, and the values of each."""
    received = commas = 0
    parts: list[bytes] = []

    async def receive_some() -> Message:
        nonlocal received, commas
        message = await receive()
        part = message.get("body", b"")
        received += len(part)
        # Of any other kind, FastAPI would make it a body that cannot be parsed: 400.
        if received > BODY_LIMIT:
            raise HTTPException(413, f"a body is limited to {BODY_LIMIT} bytes")
        commas += part.count(b",")
        parts.append(part)
        if not message.get("more_body", False):
            if commas >= VALUES_LIMIT and _values(parts) > VALUES_LIMIT:
                raise HTTPException(413, f"a body is limited to {VALUES_LIMIT} values")
            _check_texts(parts)
        return message

    return receive_some


def _check_texts(body: Iterable[bytes]) -> None:
    """Raise 400 for half of a surrogate pair, which not every decoder rejects."""
    content = b"".join(body)
    if _SURROGATE.search(content):
        try:
            msgspec.json.decode(content)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise HTTPException(400, "the body is not JSON with texts of Unicode") from None


def _values(body: Iterable[bytes]) -> int:
    """Return the number of values of JSON, which commas separate where they are in no text."""
    return _STRING.sub(b"", b"".join(body)).count(b",") + 1
