"""Requests to the Mixpeek API: each route has its own budget, and some have a namespace."""

from collections.abc import Mapping

import httpx

from watcher.core.clock import Clock
from watcher.core.interfaces.budgets import SharedBudgets
from watcher.sources import _connection
from watcher.sources._connection import Rate
from watcher.telemetry.source_metrics import SourceMetrics

_PLANS = ((10, "Free"), (60, "Pro"))
"""Requests per minute of the API's plans."""


def namespace_header(namespace: str | None) -> Mapping[str, str]:
    """Return the header of a request to a namespace."""
    return {} if namespace is None else {"x-namespace": namespace}


class Connection(_connection.Connection):
    """The requests of one source. `rate` is per route; None sets no limit."""

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str,
        rate: Rate | None,
        timeout: float,
        transport: httpx.AsyncBaseTransport,
        metrics: SourceMetrics,
        wall: Clock,
        budgets: SharedBudgets | None = None,
    ) -> None:
        super().__init__(
            base_url=base_url,
            headers={"authorization": f"Bearer {api_key}"},
            rate=rate,
            timeout=timeout,
            transport=transport,
            metrics=metrics,
            wall=wall,
            plans=_PLANS,
            budgets=budgets,
        )
