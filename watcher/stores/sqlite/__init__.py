"""What a store over SQL needs besides its own module: the schema, the queries, opening, and group commit."""

from watcher.stores.sqlite.store import create

__all__ = ["create"]
