"""The store in a PostgreSQL database: watchlist, events and outbox."""

from watcher.stores.postgresql.connection import server_of as shown
from watcher.stores.postgresql.copying import exported, imported
from watcher.stores.postgresql.store import backup, create, faults

__all__ = ["backup", "create", "exported", "faults", "imported", "shown"]
