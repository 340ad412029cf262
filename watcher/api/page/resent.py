"""Sending the events of tasks to a channel once more."""

from collections.abc import Sequence
from dataclasses import dataclass

from watcher.api import resending
from watcher.api.page.acting import Action, Field, Question
from watcher.api.page.words import plural
from watcher.api.problems import Problem
from watcher.core.events import EventFilter

_ALWAYS = 0.0
"""All stored events are later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resent:
    """Which events are sent again: those of `task_ids`, which `subject` names in a sentence.

    `page` is the address of the page that they are shown on, `path` that of the action. One of
    `channels` gets them.
    """

    subject: str
    task_ids: Sequence[str]
    channels: Sequence[str]
    page: str
    path: str

    async def question(self, act: Action, channel: str) -> Question:
        """Return the question for the channel; then, with their number, whether they are sent."""
        if not self.channels:
            raise Problem(409, f"no configured channel was sent an event of {self.subject}")
        if not channel and len(self.channels) > 1:
            return Question(
                title=f"Send the events of {self.subject} again",
                lines=[
                    "The channel gets again what it was sent before. The next page shows how many"
                    " events."
                ],
                fields=[Field(name="channel", label="Channel", choices=self.channels)],
                submit="Continue",
                back=self.page,
                then=self.path,
            )
        channel = channel or self.channels[0]
        count = await self.send(act, channel, dry_run=True)
        return Question(
            title=f"Send {plural(count, 'event')} to {channel} again?",
            lines=[
                f"{plural(count, 'event')} of {self.subject}, once more, in order, each with its"
                " original webhook-id."
            ],
            hidden={"channel": channel},
            submit="Send again",
            back=self.page,
        )

    async def send(self, act: Action, channel: str, *, dry_run: bool) -> int:
        """Queue the events that the channel was sent before; return how many."""
        if channel not in {one.name for one in act.daemon.settings.channels}:
            raise Problem(404, f"unknown channel {channel!r}")
        selected = EventFilter(since=_ALWAYS, task_ids=tuple(self.task_ids))
        count = await resending.replay(
            act.daemon.store,
            act.daemon.settings,
            channel,
            selected,
            act.daemon.wall(),
            include_new=False,
            dry_run=dry_run,
        )
        if not dry_run:
            act.log("replayed %d events to channel %.150r", count, channel, channel=channel)
            act.daemon.outbox.set()
        return count
