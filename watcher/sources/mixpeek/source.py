"""The settings of the Mixpeek source, and the source itself."""

from typing import Literal

import httpx

from watcher.core.clock import Clock
from watcher.core.interfaces.budgets import SharedBudgets
from watcher.core.interfaces.source import BatchOfTask
from watcher.core.setting_types import BaseUrl, HeaderText, Name, Token
from watcher.core.settings import SourceSettings
from watcher.core.statuses import StatusTable
from watcher.core.tasks import Observation
from watcher.sources.mixpeek.changes_endpoint import ChangesEndpoint
from watcher.sources.mixpeek.connection import Connection
from watcher.sources.mixpeek.get_endpoint import GET_TASK, GetEndpoint
from watcher.sources.mixpeek.list_endpoint import ListEndpoint
from watcher.sources.mixpeek.list_health import ListHealth
from watcher.sources.mixpeek.list_share import ListShare
from watcher.sources.mixpeek.operations import MixpeekOperations
from watcher.sources.mixpeek.pagination import LIST_TASKS
from watcher.sources.mixpeek.task_decoding import TaskDecoder
from watcher.sources.mixpeek.tasks_in_batches import TasksInBatches
from watcher.telemetry.source_metrics import SourceMetrics


class Settings(SourceSettings):
    """`namespace` is the default for requests that need one; polling a task does not."""

    name: Name = "mixpeek"
    type: Literal["mixpeek"] = "mixpeek"
    base_url: BaseUrl = "https://api.mixpeek.com"
    api_key: Token
    namespace: HeaderText | None = None


def create(
    settings: Settings,
    *,
    transport: httpx.AsyncBaseTransport,
    metrics: SourceMetrics,
    wall: Clock,
    budgets: SharedBudgets | None = None,
) -> "MixpeekSource":
    """Return the source at `settings.base_url`, which sends its requests over `transport`."""
    connection = Connection(
        base_url=settings.base_url,
        api_key=settings.api_key.get_secret_value(),
        rate=settings.rate,
        timeout=settings.timeout,
        transport=transport,
        metrics=metrics,
        wall=wall,
        budgets=budgets,
    )
    return MixpeekSource(connection, settings)


class MixpeekSource(MixpeekOperations):
    """Implements `watcher.core.interfaces.source.Source`, with every capability."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        share = ListShare()
        super().__init__(connection, settings.namespace, StatusTable(settings.statuses), share)
        decoder = TaskDecoder(self.statuses)
        for route in (GET_TASK, LIST_TASKS):
            connection.open(route)
        self._batches = TasksInBatches(connection, settings.namespace, self.statuses)
        self.list_health = ListHealth(settings.name)
        self.single = GetEndpoint(connection, self.list_health, decoder)
        self.changes = ChangesEndpoint(
            connection,
            decoder,
            single=self.single,
            source=settings.name,
            timeout=settings.timeout,
            list_health=self.list_health,
            share=share,
        )
        self.shared = ListEndpoint(self.single, settings.name, self.list_health, share)

    async def find_in_batch(self, task_id: str, batch: BatchOfTask) -> Observation | None:
        return await self._batches.find_in_batch(task_id, batch)
