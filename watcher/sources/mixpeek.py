"""The Mixpeek task API: `GET /v1/tasks/{task_id}`, one task a request."""

import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal
from urllib.parse import quote

import anyio
import httpx
import msgspec
from pydantic import AfterValidator, SecretStr

from watcher import __version__
from watcher.budget import Pause, RouteBudget
from watcher.clock import Clock
from watcher.errors import SourceError, SourceFailure
from watcher.exchange import ExchangeError, Reply, exchange, retry_after
from watcher.metrics import SourceMetrics
from watcher.model import Answer, Missing, Observation
from watcher.settings import SourceSettings, http_url

GET_TASK = "GET /v1/tasks/{task_id}"
TASK_LIMIT = 4 * 1024 * 1024
"""Bytes read of the answer about one task."""

_STATUS_LIMIT = 100
_ERROR_TEXT_LIMIT = 8192
_SHOWN = 200
_FAILURES = {401: SourceFailure.UNAUTHORIZED, 403: SourceFailure.FORBIDDEN, 404: SourceFailure.NOT_FOUND}


def _base_url(text: str) -> str:
    http_url(text)
    if "?" in text:
        raise ValueError("may hold no query")
    return text.rstrip("/")


class Settings(SourceSettings):
    """`namespace` is for the calls that want one; asking for a task does not."""

    type: Literal["mixpeek"] = "mixpeek"
    base_url: Annotated[str, AfterValidator(_base_url)] = "https://api.mixpeek.com"
    api_key: SecretStr
    namespace: str | None = None


class _Task(msgspec.Struct):
    """What is compared of a task. Anything may stand in any field: what cannot be used is left alone, not refused."""

    task_id: object = None
    status: object = None
    task_type: object = None
    error_message: object = None
    error: object = None
    additional_data: msgspec.Raw = msgspec.Raw(b"null")


class _Additional(msgspec.Struct):
    error: object = None


class _Failure(msgspec.Struct):
    success: object = None
    error: object = None


_decode_task = msgspec.json.Decoder(_Task).decode
_decode_additional = msgspec.json.Decoder(_Additional).decode
_decode_failure = msgspec.json.Decoder(_Failure).decode
_UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)


def create(
    settings: Settings, *, transport: httpx.AsyncBaseTransport, metrics: SourceMetrics, wall: Clock
) -> "MixpeekSource":
    """Return the source at `settings.base_url`, asked over `transport`."""
    return MixpeekSource(settings, transport, metrics, wall)


class MixpeekSource:
    """Implements `watcher.protocols.Source`, one task a request."""

    def __init__(
        self, settings: Settings, transport: httpx.AsyncBaseTransport, metrics: SourceMetrics, wall: Clock
    ) -> None:
        self._base_url = settings.base_url
        self._deadline = settings.timeout
        self._headers = {
            "authorization": f"Bearer {settings.api_key.get_secret_value()}",
            "accept": "application/json",
            "accept-encoding": "identity",
            "user-agent": f"mixpeek-watcher/{__version__}",
        }
        self._transport = transport
        self._metrics = metrics
        self._wall = wall
        self._pause = Pause(anyio.current_time)
        self._budget = RouteBudget(GET_TASK, settings.requests_per_minute, self._pause, anyio.current_time)
        metrics.budget(GET_TASK, self._budget.remaining)

    async def admit(self, due: int) -> int:
        await self._budget.spend()
        return min(due, 1)

    async def fetch(self, task_ids: Sequence[str]) -> Sequence[Answer]:
        return [await self._get(task_id) for task_id in task_ids]

    async def _get(self, task_id: str) -> Answer:
        reply = await self._request(f"{self._base_url}/v1/tasks/{quote(task_id, safe='')}")
        if reply.status == 200:
            self._pause.succeeded()
            return observation(task_id, reply)
        if reply.status == 404 and _says_the_api(reply.body):
            return Missing(task_id=task_id)
        raise self._refusal(reply)

    async def _request(self, url: str) -> Reply:
        request = httpx.Request("GET", url, headers=self._headers)
        began = time.perf_counter()
        try:
            reply = await exchange(self._transport, request, deadline=self._deadline, body_limit=TASK_LIMIT)
        except ExchangeError as error:
            self._metrics.requested(GET_TASK, error.kind, time.perf_counter() - began)
            raise SourceError(SourceFailure(error.kind), str(error)) from None
        self._metrics.requested(GET_TASK, reply.status, time.perf_counter() - began)
        return reply

    def _refusal(self, reply: Reply) -> SourceError:
        status = reply.status
        asked = retry_after(reply.headers, self._wall())
        if status == 429:
            self._budget.refused()
        if status == 429 or (status == 503 and asked is not None):
            self._pause.asked(asked)
        return SourceError(failure(status), _text(reply), retry_after=asked)


def failure(status: int) -> SourceFailure:
    """Return what an HTTP status that brought no task means."""
    if status in _FAILURES:
        return _FAILURES[status]
    if status == 429:
        return SourceFailure.RATE_LIMITED
    if status >= 500:
        return SourceFailure.UNAVAILABLE
    if status >= 400:
        return SourceFailure.REFUSED
    return SourceFailure.REDIRECT if status >= 300 else SourceFailure.PROTOCOL


def observation(task_id: str, reply: Reply) -> Observation:
    """Return what the API's answer says about the task.

    Raises `SourceError` (protocol) where it is not the JSON of that task.
    """
    if reply.truncated:
        raise SourceError(SourceFailure.PROTOCOL, f"the answer is longer than {TASK_LIMIT >> 20} MiB")
    try:
        task = _decode_task(reply.body)
        # Whole, too: what is told later is taken from these bytes, and must not fail then.
        msgspec.json.decode(reply.body, type=dict[str, msgspec.Raw])
    except _UNREADABLE:
        raise SourceError(SourceFailure.PROTOCOL, "the answer is not the JSON of a task") from None
    status = task.status.strip().upper() if isinstance(task.status, str) else ""
    if not status or len(status) > _STATUS_LIMIT or not status.isprintable():
        raise SourceError(SourceFailure.PROTOCOL, "the answer holds no status")
    if task.task_id != task_id:
        raise SourceError(SourceFailure.PROTOCOL, "the answer is about another task")
    return Observation(
        task_id=task_id,
        status=status,
        task_type=task.task_type if isinstance(task.task_type, str) else None,
        error_message=_error_text(task),
        raw=reply.body,
    )


def _error_text(task: _Task) -> str | None:
    """Return the error under any of its three names: the two of the API's versions, or in `additional_data`."""
    for said in (task.error_message, task.error):
        if text := _as_text(said):
            return text
    try:
        return _as_text(_decode_additional(task.additional_data).error)
    except _UNREADABLE:
        return None


def _as_text(said: object) -> str | None:
    if isinstance(said, dict):
        said = said.get("message") or msgspec.json.encode(said).decode()
    return said[:_ERROR_TEXT_LIMIT] if isinstance(said, str) and said else None


def _says_the_api(body: bytes) -> bool:
    """Return whether a 404 is the API's own and not that of a gateway or of another service."""
    try:
        failed = _decode_failure(body)
    except _UNREADABLE:
        return False
    return failed.success is False or isinstance(failed.error, Mapping)


def _text(reply: Reply) -> str:
    try:
        said = _as_text(_decode_failure(reply.body).error) or ""
    except _UNREADABLE:
        said = ""
    plain = "".join(char if char.isprintable() else " " for char in said[:_SHOWN])
    return f"HTTP {reply.status} {plain}".strip()
