"""The store in a PostgreSQL database: watchlist, events and outbox."""

from watcher.stores.postgresql.store import create

__all__ = ["create"]
