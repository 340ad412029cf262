"""All routes of the page."""

from watcher.api.page.batch_pages import batches
from watcher.api.page.changes import changes
from watcher.api.page.channel_pages import channels
from watcher.api.page.delivery_pages import deliveries
from watcher.api.page.login import login
from watcher.api.page.overview import overview
from watcher.api.page.parts import parts
from watcher.api.page.setting_pages import settings
from watcher.api.page.source_pages import sources
from watcher.api.page.task_pages import tasks

pages = (overview, tasks, batches, deliveries, channels, sources, settings, parts, changes, login)
"""The routers of the page."""
