"""The Mixpeek API: polling tasks one by one or a thousand at once, and every capability."""

from watcher.sources.mixpeek.source import Settings, create

ENVIRONMENT = {"api_key": "MIXPEEK_API_KEY", "base_url": "MIXPEEK_BASE_URL"}
"""Variables that set keys of a source of this type, unless the configuration sets them."""

__all__ = ["ENVIRONMENT", "Settings", "create"]
