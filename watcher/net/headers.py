"""Headers of every request that the watcher sends."""

from watcher import __version__

USER_AGENT = f"mixpeek-watcher/{__version__}"
