"""Every end at five APIs is noticed soon, within what each allows. In virtual time."""

from pathlib import Path
from random import Random
from statistics import median

import anyio
import pytest
from prometheus_client import CollectorRegistry

from tests.support.stores import opened, system_events
from tests.support.task_apis import COUNT, KINDS, Kind, settings_of, transport
from tests.support.virtual_time import attentive, wall
from watcher.core.routing import Routing
from watcher.core.settings import PollingSettings, RouteSettings
from watcher.core.tasks import TaskKey, WatchRequest
from watcher.core.wakeup import Wakeup
from watcher.polling.context import PollingContext
from watcher.polling.poller import Poller
from watcher.sources.http import Settings, create
from watcher.telemetry.metrics import Metrics
from watcher.telemetry.unexpected import UnexpectedErrors

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("kind", KINDS)
async def test_a_hundred_ends_at_once_are_noticed_within_ten_seconds(
    kind: type[Kind], tmp_path: Path
) -> None:
    api = kind()
    settings = Settings.model_validate(settings_of(api, "https://api.example"))
    metrics = Metrics(CollectorRegistry(), "test")
    routing = Routing([RouteSettings(channels=("backend",))], ["backend"])
    async with opened(tmp_path) as store:
        patient = attentive(store)
        source = create(
            settings,
            transport=transport(api, anyio.current_time),
            metrics=metrics.source(api.name),
            wall=wall,
        )
        context = PollingContext(
            source_name=api.name,
            store=patient,
            routing=routing,
            system_event=system_events(routing),
            polling=settings.polling_with(PollingSettings()),
            unreachable_after=60.0,
            metrics=metrics.source(api.name),
            unexpected=UnexpectedErrors(metrics),
            outbox=Wakeup(),
            wall=wall,
            random=Random(5),
        )
        poller = Poller(source, context)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(poller.run)
            keys = [TaskKey(api.name, task_id) for task_id in api.task_ids()]
            added = await patient.add([WatchRequest(key=key) for key in keys], wall())
            poller.track(added.watches)
            await anyio.sleep(90)
            assert poller.counts() == {"IN_PROGRESS": COUNT}
            api.ended, began = True, wall()
            await anyio.sleep(12)
            poller.close()
        late = []
        for task_id in api.task_ids():
            events = await patient.transitions(TaskKey(api.name, task_id))
            ends = [event for event in events if event.status in ("COMPLETED", "FAILED")]
            assert len(ends) == 1, f"{api.name} {task_id}: {ends}"
            late.append(ends[0].at - began)
    assert api.counted.exceeded == 0
    assert max(late) <= 10
    assert median(late) <= 5
