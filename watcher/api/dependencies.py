"""What every part of the HTTP API shares: the daemon behind it, and the shape of its answers."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Protocol

import anyio
import msgspec
from fastapi import Depends, Query, Request, Response

from watcher.api.problems import FieldError, Problem
from watcher.core.channels import ChannelState
from watcher.core.interfaces.source import Source
from watcher.core.interfaces.store import Store
from watcher.core.settings import Settings
from watcher.core.tasks import TaskKey, Watch
from watcher.core.wakeup import Wakeup
from watcher.telemetry.health import Health
from watcher.telemetry.metrics import Metrics


class Daemon(Protocol):
    """What the API needs of the rest of the daemon; `settings` and `pulses` follow a reload."""

    store: Store
    metrics: Metrics
    outbox: Wakeup
    health: Health
    stopping: anyio.Event

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        ...

    def track(self, watches: Iterable[Watch]) -> None:
        """Ask about these at once."""
        ...

    def forget(self, key: TaskKey) -> None:
        """Stop asking about a task."""
        ...

    def times(self, key: TaskKey) -> tuple[float | None, float | None]:
        """Return when a task was last asked for and will be next, in Unix seconds."""
        ...

    def source(self, name: str) -> Source | None:
        """Return the source of this name; None where none is configured."""
        ...

    def channels(self) -> Sequence[ChannelState]:
        """Return how each channel does."""
        ...

    async def pause(self, channel: str, reason: str) -> None:
        """Send nothing to a configured channel until it is resumed."""
        ...

    async def resume(self, channel: str) -> None:
        """Send to a configured channel again."""
        ...

    async def refresh_gauges(self) -> None:
        """Bring the gauges that are counted on demand up to date."""
        ...


async def running(request: Request) -> Daemon:
    daemon: Daemon = request.app.state.daemon
    return daemon


Running = Annotated[Daemon, Depends(running)]
Limit = Annotated[int, Query(ge=1, le=1000, description="How many items a page holds.")]
Cursor = Annotated[
    str | None, Query(pattern=r"^[0-9]{1,18}$", description="`next_cursor` of the page before.")
]


def json_response(content: object, status: int = 200) -> Response:
    """Return `content` as JSON."""
    # Straight to bytes: a page of a thousand watches is not worth checking against the shape it was made from.
    return Response(msgspec.json.encode(content), status_code=status, media_type="application/json")


def bad_query(field: str, message: str) -> Problem:
    """Return what is wrong with one part of a request."""
    return Problem(
        422, f"{field}: {message}", errors=[FieldError(index=None, field=field, message=message)]
    )
