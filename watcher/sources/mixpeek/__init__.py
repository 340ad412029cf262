"""The Mixpeek API: polling tasks one by one or a thousand at once, and every capability."""

from watcher.sources.mixpeek.source import Settings, create

__all__ = ["Settings", "create"]
