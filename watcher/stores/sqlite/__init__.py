"""The store in one SQLite file: watchlist, events and outbox."""

from watcher.stores.sqlite.backup import backup
from watcher.stores.sqlite.store import create, faults, files, shown

__all__ = ["backup", "create", "faults", "files", "shown"]
