"""Signals to the replica that serves a group: what it has in memory has changed."""

from collections.abc import Collection, Iterable

from watcher.core.ownership import channel_group, source_group
from watcher.core.tasks import TaskKey
from watcher.stores.postgresql import ownership_queries as queries
from watcher.stores.postgresql import rows
from watcher.stores.postgresql.database import Database
from watcher.stores.postgresql.schema import Connection


async def store_signal(
    database: Database,
    connection: Connection,
    group: str,
    task_ids: Collection[str] = (),
    *,
    attempt: bool = False,
) -> None:
    """Store in the caller's transaction what the owner of a group has to read again, where there
    are replicas; see `Signal`.
    """
    if database.local.in_fleet:
        parameters = (database.local.session, rows.clean(group), rows.cleaned(task_ids), attempt)
        await connection.execute(queries.STORE_SIGNAL, *parameters)
        database.hints.want(signal=True)


async def signal_channel(
    database: Database, connection: Connection, channel: str, *, attempt: bool = False
) -> None:
    """Store a signal to the owners of a channel; see `store_signal`."""
    await store_signal(database, connection, channel_group(channel), attempt=attempt)


async def signal_tasks(database: Database, connection: Connection, keys: Iterable[TaskKey]) -> None:
    """Store signals to the owners of tasks; see `store_signal`."""
    by_source: dict[str, list[str]] = {}
    for source, task_id in keys:
        by_source.setdefault(source, []).append(task_id)
    for source, task_ids in by_source.items():
        await store_signal(database, connection, source_group(source), task_ids)
