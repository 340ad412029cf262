"""What all routes share: the daemon behind them, and the form of their responses."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Protocol

import anyio
import msgspec
from fastapi import Depends, Query, Request, Response

from watcher.api.probe_responses import ProbedDaemon
from watcher.api.problems import FieldError, Problem
from watcher.core.channels import ChannelState
from watcher.core.clock import Clock, parse_rfc3339
from watcher.core.interfaces.source import Source
from watcher.core.interfaces.store import Store
from watcher.core.status import Status
from watcher.core.tasks import TaskKey, Watch
from watcher.core.wakeup import Wakeup
from watcher.delivery.channel_check import ChannelCheck


class Daemon(ProbedDaemon, Protocol):
    """What the API needs of the daemon."""

    store: Store
    outbox: Wakeup
    stopping: anyio.Event
    wall: Clock

    def track(self, watches: Iterable[Watch]) -> None:
        """Poll these at once."""
        ...

    def forget(self, key: TaskKey) -> None:
        """Stop polling a task."""
        ...

    def times(self, key: TaskKey) -> tuple[float | None, float | None]:
        """Return when a task was last answered for and when it is due, in Unix seconds."""
        ...

    def source(self, name: str) -> Source | None:
        """Return the configured source of this name, if any."""
        ...

    async def channels(self) -> Sequence[ChannelState]:
        """Return the state of each channel. Raises `StoreError`."""
        ...

    async def pause(self, channel: str, reason: str) -> None:
        """Send nothing to a configured channel until it is resumed."""
        ...

    async def test_channel(self, channel: str, kind: str) -> ChannelCheck:
        """Send an example event of type `kind` to a configured channel, once."""
        ...

    def attempt_all(self, channel: str) -> None:
        """Attempt a channel's pending deliveries now, whatever its receiver has answered."""
        ...

    async def resume(self, channel: str) -> None:
        """Send to a configured channel again."""
        ...

    @property
    def status_read_at(self) -> float:
        """When the last status was read, in seconds of the event loop's clock."""
        ...

    async def status(self) -> Status:
        """Return what the daemon does now: read at most once a second, and for at most 2 % of the
        time.
        """
        ...

    async def shown_status(self) -> Status:
        """Return the status for a page, which does not wait for a slow read: it may be ten seconds
        older than the one of `status`.
        """
        ...

    def forget_status(self) -> None:
        """Let the next status be read again, because something was done."""
        ...


async def get_daemon(request: Request) -> Daemon:
    daemon: Daemon = request.app.state.daemon
    return daemon


Running = Annotated[Daemon, Depends(get_daemon)]
Limit = Annotated[int, Query(ge=1, le=1000, description="Items per page.")]
Cursor = Annotated[
    str | None, Query(pattern=r"^[0-9]{1,18}$", description="`next_cursor` of the previous page.")
]


def json_response(content: object, status: int = 200) -> Response:
    """Return `content` as JSON."""
    # Not through FastAPI, which would validate a page of a thousand watches again.
    return Response(msgspec.json.encode(content), status_code=status, media_type="application/json")


def seconds_of(field: str, text: str) -> float:
    """Return an RFC 3339 time in Unix seconds. Raises `Problem`."""
    try:
        return parse_rfc3339(text)
    except (ValueError, OverflowError):
        message = f"invalid RFC 3339 time {text!r}; expected one such as 2026-11-23T07:00:00Z"
        raise bad_query(field, message) from None


def bad_query(field: str, message: str) -> Problem:
    """Return the problem of one invalid part of a request."""
    return Problem(
        422, f"{field}: {message}", errors=[FieldError(index=None, field=field, message=message)]
    )
