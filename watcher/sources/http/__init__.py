"""Any API with one GET per task, by configuration; presets for well-known ones."""

from watcher.sources.http.settings import Settings
from watcher.sources.http.source import create

__all__ = ["Settings", "create"]
