"""The settings of a scenario."""

from pathlib import Path
from typing import Any

from tests.simulation.scenario import CHANNELS, SOURCE, Scenario
from tests.support.records import SECRET
from watcher.channels import webhook
from watcher.core.settings import (
    DiscoverySettings,
    PollingSettings,
    RouteSettings,
    Settings,
    StoreSettings,
)
from watcher.sources.mixpeek import source as mixpeek

UNREACHABLE_AFTER = 60.0
ORDER_WAIT = 600.0


def settings_of(scenario: Scenario, path: Path, **changes: Any) -> Settings:
    """Return the settings; `changes` are those of a reload."""
    source = mixpeek.Settings(
        name=SOURCE,
        base_url="https://upstream.example",
        api_key="sk_made_up",
        requests_per_minute=scenario.limit,
        unreachable_after=UNREACHABLE_AFTER,
    )
    channels = [
        webhook.Settings(
            name=name,
            url=f"https://{name}.example/hook",
            secrets=[SECRET],
            concurrency=changes.get("concurrency", 8),
            order_wait=ORDER_WAIT,
        )
        for name in CHANNELS
    ]
    discovery = [DiscoverySettings(list="tasks", every=every) for every in _rules(scenario)]
    return Settings(
        sources=(source,),
        polling=PollingSettings(**changes.get("polling", scenario.polling)),
        discovery=tuple(discovery),
        store=StoreSettings(url=f"sqlite:///{path}"),
        channels=tuple(channels),
        routes=(RouteSettings(channels=CHANNELS, initial=True),),
    )


def _rules(scenario: Scenario) -> list[float]:
    return [] if scenario.discovery is None else [scenario.discovery]
