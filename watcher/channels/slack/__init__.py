"""Slack: messages within its limits, its errors, and one updated message per batch."""

from watcher.channels.slack.channel import DEFAULT_EVENTS, Settings, create

__all__ = ["DEFAULT_EVENTS", "Settings", "create"]
