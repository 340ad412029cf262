"""Slack: messages within its limits, its errors, and one updated message per batch."""

from watcher.channels.slack.channel import Settings, create

__all__ = ["Settings", "create"]
