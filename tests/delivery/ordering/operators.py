"""What operators do with the channels of a scenario."""

from tests.delivery.ordering import operations as op
from tests.delivery.ordering.endpoint import Endpoint, settings_with
from tests.delivery.ordering.process import Process
from watcher.core.deliveries import DeliveryState
from watcher.core.events import EventFilter


async def operate(process: Process, operation: op.Operator, endpoint: Endpoint) -> None:
    """Do what an operator does with the channel of `endpoint`. Raises `StoreError`."""
    dispatcher, rules = process.dispatcher(operation.channel), endpoint.rules
    match operation:
        case op.Pause():
            await dispatcher.pause("maintenance")
            rules.silenced("paused")
        case op.Resume():
            await dispatcher.resume()
            rules.silenced(None)
            rules.demanded()
        case op.RetryAll():
            rules.demanded()
            dispatcher.attempt_all()
        case op.RetryOne():
            await _retry_one(process, operation, endpoint)
        case op.Purge(state=state):
            store = process.harness.store
            await store.purge(endpoint.name, DeliveryState(state), endpoint.wall() + 1.0)
            rules.acted()
        case op.Replay():
            await _replay(process, operation, endpoint)
        case op.Reload():
            await _reload(process, operation, endpoint)


async def _retry_one(process: Process, operation: op.RetryOne, endpoint: Endpoint) -> None:
    store, rules = process.harness.store, endpoint.rules
    state = DeliveryState(operation.state)
    page, _ = await store.list_deliveries(state, endpoint.name, 1000, None)
    if not page:
        return
    delivery = [*reversed(page)][operation.position % len(page)]
    if state is DeliveryState.FAILED:
        rules.order.sent[delivery.event_id].retried = True
    await store.retry(delivery.id, endpoint.wall())
    process.dispatcher(endpoint.name).attempt_all()
    rules.demanded()


async def _replay(process: Process, operation: op.Replay, endpoint: Endpoint) -> None:
    now = endpoint.wall()
    tasks = () if operation.task is None else (f"task_{operation.task}",)
    selected = EventFilter(since=now - operation.seconds, task_ids=tasks)
    endpoint.rules.order.replay_begins()
    try:
        await process.harness.store.replay(endpoint.name, selected, now)
    finally:
        endpoint.rules.replayed()
    process.harness.outbox.set()


async def _reload(process: Process, operation: op.Reload, endpoint: Endpoint) -> None:
    settings = settings_with(
        endpoint.name, concurrency=operation.concurrency, order_wait=operation.order_wait
    )
    if settings == endpoint.settings:
        return
    endpoint.rules.closing = True
    await process.running(endpoint.name).stop()
    endpoint.starts(settings)
    process.start(settings)
