"""What happened to a task, and which channels were notified, as a timeline. Pure."""

import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from watcher.api.page.marks import IDLE, LOST, WAIT, Mark, mark, of_status
from watcher.api.page.paths import segment
from watcher.core.deliveries import DeliveryState
from watcher.core.fates import fates
from watcher.core.reading import ChannelFate, SentTo, TaskEvent
from watcher.core.settings import Settings
from watcher.core.tasks import Watch

_ALERTS = {
    "task.lost": mark(LOST, "Lost"),
    "task.stalled": mark(WAIT, "Stalled"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What became of an event for one channel. `after` are the seconds until it was delivered;
    `not_sent` is why no delivery was made.
    """

    channel: str
    sent: SentTo | None
    after: float | None
    not_sent: str | None

    @property
    def failed(self) -> bool:
        """Whether the delivery has failed."""
        return self.sent is not None and self.sent.delivery.state is DeliveryState.FAILED


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineStep:
    """One step of the timeline, `gap` seconds after the one before."""

    number: int
    at: float
    gap: float | None
    mark: Mark
    reason: str | None
    fates: Sequence[Sent]


def steps(events: Sequence[TaskEvent], watch: Watch, settings: Settings) -> list[TimelineStep]:
    """Return the timeline of a watch, which begins with its addition. Events outlive a removed
    watch; those of an earlier watch of the same task are left out.
    """
    added = mark(IDLE, "Added to the watchlist")
    found = [TimelineStep(number=0, at=watch.added_at, gap=None, mark=added, reason=None, fates=())]
    channels = [channel.name for channel in settings.channels]
    for event in events:
        if event.at < watch.added_at:
            continue
        of_channels = fates(event, watch, settings.effective_routes, channels)
        found.append(
            TimelineStep(
                number=event.id,
                at=event.at,
                gap=max(event.at - found[-1].at, 0.0),
                mark=_ALERTS.get(event.type) or of_status(event.status),
                reason=event.reason,
                fates=[_sent(fate, event) for fate in of_channels],
            )
        )
    return found


def notified(events: Sequence[TaskEvent], settings: Settings) -> list[str]:
    """Return the configured channels that were sent one of these events."""
    found = {channel for event in events for channel in event.channels}
    return [channel.name for channel in settings.channels if channel.name in found]


def _sent(fate: ChannelFate, event: TaskEvent) -> Sent:
    delivered_at = fate.sent.delivery.delivered_at if fate.sent else None
    return Sent(
        channel=fate.channel,
        sent=fate.sent,
        after=None if delivered_at is None else max(delivered_at - event.at, 0.0),
        not_sent=fate.not_sent,
    )


def links(watch: Watch, settings: Settings) -> list[tuple[str, str]]:
    """Return the names and the URLs of the channels' `links` that this task fills in."""
    values = {
        "task_id": watch.key.task_id,
        "task_type": watch.task_type,
        "source": watch.key.source,
        "namespace": watch.namespace,
        "status": watch.status,
        "batch_id": watch.batch,
    }
    templates: dict[str, str] = {}
    for channel in settings.channels:
        templates |= getattr(channel, "links", {})
    return list(_filled(templates, values))


def _filled(
    templates: Mapping[str, str], values: Mapping[str, str | None]
) -> Iterator[tuple[str, str]]:
    for name, template in templates.items():
        fields = [field for _, field, _, _ in string.Formatter().parse(template) if field]
        if template.startswith(("https://", "http://")) and all(map(values.get, fields)):
            yield (
                name,
                template.format_map({field: segment(values[field] or "") for field in fields}),
            )
