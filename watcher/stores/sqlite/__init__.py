"""The store in one SQLite file: watchlist, events and outbox."""

from watcher.stores.sqlite.backup import backup
from watcher.stores.sqlite.store import create, files

__all__ = ["backup", "create", "files"]
