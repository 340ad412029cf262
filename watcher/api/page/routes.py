"""All routes of the page."""

from watcher.api.page.channel_pages import channels
from watcher.api.page.login import login
from watcher.api.page.overview import overview
from watcher.api.page.parts import parts
from watcher.api.page.setting_pages import settings
from watcher.api.page.source_pages import sources

pages = (overview, channels, sources, settings, parts, login)
"""The routers of the page."""
