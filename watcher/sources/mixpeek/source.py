"""The Mixpeek task API: `GET /v1/tasks/{task_id}` for one task, `POST /v1/tasks/list` for a thousand."""

from collections.abc import AsyncGenerator, Sequence
from typing import Annotated, Literal
from urllib.parse import quote

import httpx
from pydantic import AfterValidator, SecretStr

from watcher.core.clock import Clock
from watcher.core.errors import SourceError
from watcher.core.settings import SourceSettings, http_url
from watcher.core.tasks import Answer, Observation, TaskNotFound
from watcher.sources.mixpeek.connection import Call, Connection
from watcher.sources.mixpeek.decoding import says_the_api, task_reply
from watcher.sources.mixpeek.list_endpoint import LIST_TASKS, Listing
from watcher.sources.mixpeek.operations import MixpeekOperations
from watcher.telemetry.metrics import SourceMetrics

GET_TASK = "GET /v1/tasks/{task_id}"


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


def create(
    settings: Settings, *, transport: httpx.AsyncBaseTransport, metrics: SourceMetrics, wall: Clock
) -> "MixpeekSource":
    """Return the source at `settings.base_url`, asked over `transport`."""
    connection = Connection(
        base_url=settings.base_url,
        api_key=settings.api_key.get_secret_value(),
        requests_per_minute=settings.requests_per_minute,
        timeout=settings.timeout,
        transport=transport,
        metrics=metrics,
        wall=wall,
    )
    return MixpeekSource(connection, settings)


class MixpeekSource(MixpeekOperations):
    """Implements `watcher.core.interfaces.source.Source`, with every capability."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        super().__init__(connection, settings.namespace)
        for route in (GET_TASK, LIST_TASKS):
            connection.open(route)
        self.shared = Listing(connection, settings.name)
        self.single = _Single(connection, self.shared)


class _Single:
    """Implements `watcher.core.interfaces.source.Endpoint`, one task a request."""

    places = 1

    def __init__(self, connection: Connection, listing: Listing) -> None:
        self._connection = connection
        self._listing = listing
        self._failing = False

    def wait(self) -> float:
        return self._connection.wait(GET_TASK)

    async def admit(self) -> None:
        await self._connection.admit(GET_TASK)

    async def fetch(self, task_ids: Sequence[str]) -> AsyncGenerator[Sequence[Answer], None]:
        for task_id in task_ids:
            try:
                answer = await self._get(task_id)
            except SourceError:
                self._failing = True
                raise
            if self._failing:
                self._failing = False
                self._listing.recovered()
            if isinstance(answer, Observation):
                self._listing.shown_alone(task_id)
            yield [answer]

    async def _get(self, task_id: str) -> Answer:
        reply = await self._connection.send(
            Call(route=GET_TASK, path=f"/v1/tasks/{quote(task_id, safe='')}")
        )
        if reply.status == 200:
            return task_reply(task_id, reply)
        if reply.status == 404 and says_the_api(reply.body):
            return TaskNotFound(task_id=task_id)
        raise self._connection.refusal(reply)
