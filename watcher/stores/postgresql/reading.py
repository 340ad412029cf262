"""What pages read of the PostgreSQL store."""

from watcher.stores._reading import PageReading
from watcher.stores._task_lists import Reader
from watcher.stores.postgresql import batches, delivery_lists, histories, task_lists
from watcher.stores.postgresql.database import StorePart
from watcher.stores.postgresql.ownership_queries import CHANGES_OF_OTHERS


class PostgresqlReading(StorePart, PageReading):
    """Implements `watcher.core.interfaces.reading.Reading`."""

    _dialect = task_lists.DIALECT
    _batch_statements = batches.STATEMENTS
    _delivery_statements = delivery_lists.STATEMENTS
    _history_statements = histories.STATEMENTS

    @property
    def _page_reader(self) -> Reader:
        return self._database.pages

    async def version(self) -> int:
        database = self._database
        ((others,),) = await database.pages.read(CHANGES_OF_OTHERS, database.local.session)
        return hash((others, database.changes))
