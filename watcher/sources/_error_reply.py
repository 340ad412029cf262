"""What upstream says in an error reply, for one line and for a problem document.

The API, the frameworks below it and the gateways in front of it each have a format of their own:
`{"error": {"message", "type", "code", "details"}}`, FastAPI's `{"detail": [{"loc", "msg"}]}`,
RFC 9457, OAuth's `error_description`, plain text, or a page. Whatever is taken from them is
printable, bounded in size, and without secrets, which some echo.
"""

import html
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from watcher.core.errors import ErrorReply
from watcher.core.json_repair import repaired
from watcher.core.masking import SECRETS
from watcher.core.texts import spaced
from watcher.net.exchange import Reply

_READ_BYTES = 1024 * 1024
"""A longer body is not an error message, and decoding it would delay everything else."""
_REPAIRED_BYTES = 64 * 1024
_MESSAGE = 200
_FIELD_ERROR = 150
_FIELD_ERRORS = 3
_NAME = 64
_REQUEST_ID = 128
_SCANNED = 10_000
_DETAILS_BYTES = 4096
_DETAILS_DEPTH = 6
_DETAILS_ITEMS = (20, 5, 2, 1)

_REQUEST_ID_HEADERS = (
    "x-request-id",
    "request-id",
    "x-correlation-id",
    "correlation-id",
    "x-amzn-requestid",
    "x-amz-request-id",
    "x-trace-id",
    "x-amzn-trace-id",
    "x-cloud-trace-context",
)
_GATEWAY_ID_HEADERS = ("cf-ray", "x-amz-cf-id", "x-vercel-id")
_REQUEST_IDS = ("request_id", "requestId", "correlation_id", "trace_id", "traceId")
_MESSAGES = ("message", "msg", "error_description", "error_message", "detail", "title", "error")
_CODES = ("code", "error_code", "errorCode")
_KINDS = ("type", "error_type")
_DETAILS = ("details", "detail", "errors", "validation_errors")
_FIELD_ERROR_LISTS = ("validation_errors", "errors", "field_errors", "invalid_params", "detail")
_FIELDS = ("loc", "field", "path", "param", "parameter", "name", "pointer", "property")
_SUBJECTS = ("resource_id", "upload_id", "object_id", "task_id", "batch_id", "id", "index")
_FIELD_MESSAGES = ("msg", "message", "error", "reason", "detail", "description")
_FIELD_KINDS = ("type", "error_code", "code")
_TITLE = re.compile(rb"<title[^>]{0,100}>([^<]{1,500})", re.IGNORECASE)


class _FieldError(NamedTuple):
    """One entry of an error's details: what it is about, what is wrong, and its type."""

    place: str
    text: str
    kind: str = ""

    def line(self) -> str:
        text = f"{self.place}: {self.text}" if self.place else self.text
        return f"{text} ({self.kind})" if self.kind else text

    def repeats(self, message: str) -> bool:
        return self.text in message and self.place.rpartition(".")[2] in message


def read_error(reply: Reply) -> tuple[str, ErrorReply]:
    """Return the one line that describes an error reply, and what the reply says."""
    shown = _Shown()
    body = _decoded(reply.body)
    parts = (body.get("error"), body.get("detail"), body)
    layers: list[dict[str, Any]] = [part for part in parts if isinstance(part, dict)]
    details = _first(layers, _DETAILS, dict, list) or _first(layers, ("details",), str)
    found = _first(layers, _MESSAGES, str) or _page_text(reply) or _as_json(body.get("error"))
    message = shown.text(str(found), _MESSAGE)
    request_id = _request_id(reply, [*layers, details])
    said = ErrorReply(
        status=reply.status,
        code=shown.name(_code(layers, reply.status, found), _NAME),
        kind=shown.name(_kind(layers), _NAME),
        request_id=shown.name(request_id, _REQUEST_ID),
        details=shown.json(details),
    )
    errors = [error for error in _field_errors(details) if not error.repeats(message)]
    lines = [shown.text(error.line(), _FIELD_ERROR) for error in errors[:_FIELD_ERRORS]]
    if len(errors) > _FIELD_ERRORS:
        lines.append(f"and {len(errors) - _FIELD_ERRORS} more")
    text = ": ".join(part for part in (message, "; ".join(lines)) if part)
    return f"HTTP {reply.status} {text}".strip() + _identity(said), said


class _Shown:
    """Makes what upstream says fit to show."""

    def text(self, text: str, limit: int) -> str:
        return spaced(SECRETS.text(text[:_SCANNED].lstrip(), limit)).strip()

    def name(self, value: object, limit: int) -> str | None:
        return None if value is None else self.text(str(value), limit) or None

    def json(self, value: object) -> object:
        """Return a JSON value with less in each list and object until it is small enough."""
        for items in _DETAILS_ITEMS:
            reduced = self._reduced(value, items, _DETAILS_DEPTH)
            if len(msgspec.json.encode(reduced)) <= _DETAILS_BYTES:
                return reduced
        return None

    def _reduced(self, value: object, items: int, depth: int) -> object:
        if isinstance(value, str):
            return self.text(value, _MESSAGE)
        if not isinstance(value, dict | list):
            return value
        if depth == 0:
            return "…"
        hidden = len(value) - items
        if isinstance(value, list):
            some = [self._reduced(item, items, depth - 1) for item in value[:items]]
            return [*some, f"and {hidden} more"] if hidden > 0 else some
        named = {
            self.text(name, _NAME): self._reduced(item, items, depth - 1)
            for name, item in islice(value.items(), items)
        }
        return {**named, "…": f"and {hidden} more"} if hidden > 0 else named


def _decoded(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body; empty for any other body."""
    if len(body) > _READ_BYTES:
        return {}
    body = body.removeprefix(b"\xef\xbb\xbf")
    try:
        value = _json(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _json(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        if len(body) > _REPAIRED_BYTES:
            raise
        return msgspec.json.decode(repaired(body)[0])


def _page_text(reply: Reply) -> str:
    """Return the text of a body that is plain text, or the title of a page."""
    content_type = reply.headers.get("content-type", "")
    if content_type.startswith("text/plain"):
        return reply.body[:_SCANNED].decode("utf-8", "replace")
    title = _TITLE.search(reply.body[:_SCANNED])
    return "" if title is None else html.unescape(title[1].decode("utf-8", "replace"))


def _first(layers: Iterable[object], names: Sequence[str], *kinds: type) -> Any:
    """Return the first value of one of these types that has one of the names."""
    found = (layer.get(name) for layer in layers if isinstance(layer, dict) for name in names)
    right = (value for value in found if isinstance(value, kinds) and not isinstance(value, bool))
    return next(filter(None, right), None)


def _as_json(error: object) -> str:
    return msgspec.json.encode(error).decode() if isinstance(error, dict) else ""


def _code(layers: Sequence[dict[str, Any]], status: int, message: object) -> object:
    """Return the error's code; OAuth and others send it as `error`, beside a message."""
    code = _first(layers, _CODES, str, int)
    error = layers[-1].get("error")
    if code is None and isinstance(error, str) and error != message:
        return error
    return None if code == status else code


def _kind(layers: Iterable[object]) -> object:
    kind = _first(layers, _KINDS, str)
    return None if kind == "about:blank" else kind


def _request_id(reply: Reply, layers: Iterable[object]) -> object:
    return (
        _header(reply, _REQUEST_ID_HEADERS)
        or _first(layers, _REQUEST_IDS, str, int)
        or _header(reply, _GATEWAY_ID_HEADERS)
    )


def _header(reply: Reply, names: Iterable[str]) -> str | None:
    values = (reply.headers.get(name, "").strip() for name in names)
    return next(filter(None, values), None)


def _field_errors(details: object) -> Iterator[_FieldError]:
    if isinstance(details, str):
        yield _FieldError("", details)
    if isinstance(details, list):
        yield from filter(None, map(_field_error, details))
    if not isinstance(details, dict):
        return
    for name in _FIELD_ERROR_LISTS:
        listed = details.get(name)
        if isinstance(listed, dict):
            yield from (_FieldError(place, text) for place, text in _scalars(listed))
        else:
            yield from _field_errors(listed)
    known = {*_MESSAGES, *_CODES, *_KINDS, *_REQUEST_IDS, *_FIELD_ERROR_LISTS}
    yield from (_FieldError(name, text) for name, text in _scalars(details) if name not in known)


def _field_error(entry: object) -> _FieldError | None:
    if not isinstance(entry, dict):
        text = _scalar(entry)
        return _FieldError("", text) if text else None
    texts = dict(_scalars(entry))
    place = _place(entry) or next((texts[name] for name in _SUBJECTS if name in texts), "")
    kind = next((texts[name] for name in _FIELD_KINDS if name in texts), "")
    text = next((texts[name] for name in _FIELD_MESSAGES if name in texts), "")
    if text or kind:
        return _FieldError(place, text or kind, kind if text else "")
    others = ", ".join(f"{name}: {text}" for name, text in texts.items())
    return _FieldError("", others) if others else None


def _place(entry: Mapping[str, object]) -> str:
    for name in _FIELDS:
        value = entry.get(name)
        if isinstance(value, list) and value and name == "loc":
            return ".".join(map(_scalar, value))
        if text := _scalar(value):
            return text
    return ""


def _scalars(values: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield the members that fit in a line; of a list of texts, the texts."""
    for name, value in values.items():
        parts = value if isinstance(value, list) and name != "loc" else [value]
        if text := ", ".join(filter(None, map(_scalar, parts))):
            yield name, text


def _scalar(value: object) -> str:
    return str(value) if isinstance(value, str | int | float) else ""


def _identity(said: ErrorReply) -> str:
    parts = [f"code {said.code}"] if said.code else []
    parts += [f"request {said.request_id}"] if said.request_id else []
    return f" [{', '.join(parts)}]" if parts else ""
