"""The store in one SQLite file: watchlist, events and outbox."""

from watcher.stores.sqlite.backup import backup
from watcher.stores.sqlite.copying import exported, imported
from watcher.stores.sqlite.store import create, faults, files, shown

__all__ = ["backup", "create", "exported", "faults", "files", "imported", "shown"]
