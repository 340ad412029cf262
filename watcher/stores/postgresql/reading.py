"""What pages read of the PostgreSQL store."""

from watcher.stores._reading import PageReading
from watcher.stores._task_lists import Reader
from watcher.stores.postgresql import batches, delivery_lists, histories, task_lists
from watcher.stores.postgresql.database import StorePart

# A snapshot names the transactions that it sees, so it differs once another one has committed. It
# costs those that write nothing. Those of other databases on the server count, too.
_VERSION = "SELECT hashtextextended(pg_current_snapshot()::text, 0)"


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
        ((version,),) = await self._database.pages.read(_VERSION)
        return int(version)
