"""The Mixpeek API: one connection with a budget for each route, and what its answers mean."""

from watcher.sources.mixpeek.source import Settings, create

__all__ = ["Settings", "create"]
