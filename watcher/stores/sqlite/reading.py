"""What pages read of the SQLite store."""

from watcher.stores._reading import PageReading
from watcher.stores._task_lists import Reader
from watcher.stores.sqlite import batches, delivery_lists, histories, task_lists
from watcher.stores.sqlite.database import StorePart


class SqliteReading(StorePart, PageReading):
    """Implements `watcher.core.interfaces.reading.Reading`."""

    _dialect = task_lists.DIALECT
    _batch_statements = batches.STATEMENTS
    _delivery_statements = delivery_lists.STATEMENTS
    _history_statements = histories.STATEMENTS

    @property
    def _page_reader(self) -> Reader:
        return self._database.pages

    async def version(self) -> int:
        ((version,),) = await self._database.pages.read("PRAGMA data_version")
        return int(version)
