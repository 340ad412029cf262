"""Runs Apprise in processes of its own, which can be limited and ended; see `_apprise_worker`."""

import importlib.util
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from typing import Self

import anyio
import anyio.abc
import msgspec
from anyio.streams.buffered import BufferedByteReceiveStream

KEPT = 30.0
"""Seconds for which a process is kept for the next message; starting one takes about a second."""

_IDLE = 60
"""Seconds without a message after which a process ends by itself, if it was not ended before."""
_START_WITHIN = 60.0  # seconds
_REPLY_LIMIT = 64 * 1024  # bytes
# -P: no module of the working directory can take the place of Apprise.
_COMMAND = (sys.executable, "-P", "-m", "watcher.channels._apprise_worker")


class NotStartedError(Exception):
    """No process could be started: too many, or too little memory."""


class WorkerEndedError(Exception):
    """The process ended without a reply: it was killed, or ran out of memory."""


class Service(msgspec.Struct, frozen=True):
    """What Apprise knows about a URL."""

    encrypted: bool
    host: str


class NotificationOutcome(msgspec.Struct, frozen=True):
    """How a notification ended: the status is that of the last response that was not 2xx."""

    delivered: bool
    status: int | None
    retry_after: str | None
    failure: str | None


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """`type` is Apprise's; `key` is the same for all notifications about one subject."""

    title: str
    body: str
    type: str
    key: str


class _Start(msgspec.Struct):
    url: str
    idle: int = _IDLE


class _Request(msgspec.Struct):
    title: str
    body: str
    type: str
    key: str
    deadline: float


_decode_service = msgspec.json.Decoder(Service | None).decode
_decode_outcome = msgspec.json.Decoder(NotificationOutcome).decode


@lru_cache(maxsize=64)
def service_of(url: str) -> Service | None:
    """Return what Apprise knows about `url`; None if it does not support it.

    Raises `ImportError` without Apprise. Takes about a second, once for each URL.
    """
    if importlib.util.find_spec("apprise") is None:
        raise ImportError("apprise")
    try:
        completed = subprocess.run(  # noqa: S603
            _COMMAND,
            input=_line(_Start(url)),
            capture_output=True,
            timeout=_START_WITHIN,
            check=False,
        )
        service: Service | None = _decode_service(completed.stdout)
    except (OSError, subprocess.TimeoutExpired, msgspec.MsgspecError):
        raise ValueError("Apprise cannot be run") from None
    return service


class Workers:
    """The processes of one channel."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._kept: list[_Worker] = []

    async def notify(self, notification: Notification, deadline: float) -> NotificationOutcome:
        """Send `notification` within `deadline` seconds, once a process runs.

        Raises `TimeoutError`, `NotStartedError` and `WorkerEndedError`.
        """
        async with self._worker() as worker:
            with anyio.fail_after(deadline):
                return await worker.notify(notification, deadline)

    async def aclose(self) -> None:
        """End all processes."""
        while self._kept:
            await self._kept.pop().end()

    @asynccontextmanager
    async def _worker(self) -> AsyncIterator["_Worker"]:
        """Yield a process that is kept if all goes well, and ended otherwise."""
        await self._end_unusable()
        worker = self._kept.pop() if self._kept else await _Worker.start(self._url)
        try:
            yield worker
        except BaseException:
            await worker.end()
            raise
        worker.used_at = anyio.current_time()
        self._kept.append(worker)

    async def _end_unusable(self) -> None:
        """End the processes that have ended, or are about to because they were not used."""
        before = anyio.current_time() - KEPT
        usable = [worker for worker in self._kept if worker.runs and worker.used_at >= before]
        unusable = [worker for worker in self._kept if worker not in usable]
        self._kept = usable
        for worker in unusable:
            await worker.end()


class _Worker:
    def __init__(self, process: anyio.abc.Process) -> None:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the process has no pipes")
        self._process = process
        self._requests = process.stdin
        self._replies = BufferedByteReceiveStream(process.stdout)
        self.used_at = anyio.current_time()

    @property
    def runs(self) -> bool:
        return self._process.returncode is None

    @classmethod
    async def start(cls, url: str) -> Self:
        try:
            process = await anyio.open_process(
                _COMMAND, stderr=subprocess.DEVNULL, start_new_session=True
            )
        except OSError:
            raise NotStartedError from None
        worker = cls(process)
        try:
            with anyio.fail_after(_START_WITHIN):
                await worker._exchange(_line(_Start(url)))
        except (TimeoutError, WorkerEndedError):
            await worker.end()
            raise NotStartedError from None
        except BaseException:
            await worker.end()
            raise
        return worker

    async def notify(self, notification: Notification, deadline: float) -> NotificationOutcome:
        request = _Request(
            title=notification.title,
            body=notification.body,
            type=notification.type,
            key=notification.key,
            deadline=deadline,
        )
        try:
            return _decode_outcome(await self._exchange(_line(request)))
        except msgspec.MsgspecError:
            raise WorkerEndedError from None

    async def end(self) -> None:
        with anyio.CancelScope(shield=True):
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.aclose()

    async def _exchange(self, request: bytes) -> bytes:
        try:
            await self._requests.send(request)
            return await self._replies.receive_until(b"\n", _REPLY_LIMIT)
        except (
            anyio.BrokenResourceError,
            anyio.ClosedResourceError,
            anyio.EndOfStream,
            anyio.IncompleteRead,
            anyio.DelimiterNotFound,
        ):
            raise WorkerEndedError from None


def _line(request: msgspec.Struct) -> bytes:
    return msgspec.json.encode(request) + b"\n"
