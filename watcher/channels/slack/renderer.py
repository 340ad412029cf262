"""Renders messages with the settings of one channel."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from watcher.channels.slack.links import with_page
from watcher.channels.slack.mentions import Mentions
from watcher.channels.slack.render_batch import BatchState, render_batch
from watcher.channels.slack.render_digest import render_digest
from watcher.channels.slack.render_event import render
from watcher.core.clock import Clock
from watcher.core.deliveries import Message


class Renderer:
    """`links` are URL templates by name; `wall` shows what is late."""

    def __init__(self, links: Mapping[str, str], mentions: Mentions, wall: Clock) -> None:
        self._links = self._links_of_task = self._links_of_batch = links
        self._pages: str | None = None
        self._mentions = mentions
        self._wall = wall

    def link_to(self, pages: str) -> None:
        """Link every message to the watcher's page about its task, batch or tasks."""
        self._pages = pages
        self._links_of_task = with_page(self._links, pages, "tasks/{task_id}")
        self._links_of_batch = with_page(self._links, pages, "batches/{batch_id}")

    @contextmanager
    def rendered(self, messages: Sequence[Message]) -> Iterator[dict[str, Any]]:
        """Yield one Slack message for one event or for several, to be sent within the context."""
        with self._mentions.of([message.type for message in messages]) as mention:
            now = self._wall()
            if len(messages) == 1:
                yield render(messages[0], self._links_of_task, now=now, mention=mention)
            else:
                yield render_digest(
                    messages, self._links, now=now, mention=mention, pages=self._pages
                )

    def batch(self, name: str, state: BatchState, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the message of a batch; `data` is that of one of its events."""
        return render_batch(name, state, self._links_of_batch, data)
