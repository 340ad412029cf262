"""What Slack shows and says: messages within its limits, its refusals, and one message for each batch."""

from watcher.channels.slack.channel import DEFAULT_EVENTS, Settings, create

__all__ = ["DEFAULT_EVENTS", "Settings", "create"]
