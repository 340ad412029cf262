"""All routes of the page."""

from watcher.api.page.batch_actions import batch_actions
from watcher.api.page.batch_pages import batches
from watcher.api.page.changes import changes
from watcher.api.page.channel_actions import channel_actions
from watcher.api.page.channel_pages import channels
from watcher.api.page.delivery_actions import delivery_actions
from watcher.api.page.delivery_pages import deliveries
from watcher.api.page.login import login
from watcher.api.page.overview import overview
from watcher.api.page.parts import parts
from watcher.api.page.setting_pages import settings
from watcher.api.page.source_pages import sources
from watcher.api.page.task_actions import task_actions
from watcher.api.page.task_pages import tasks

_actions = (channel_actions, delivery_actions, task_actions, batch_actions)
_read = (overview, tasks, batches, deliveries, channels, sources, settings, parts, changes)

pages = (*_actions, *_read, login)
"""The routers of the page. Those of actions come first: the ID of a task may be any path."""
