"""Channels: destinations of events. One module or package per `type` in the configuration."""
