"""Channels: places that events go. One file each, found by `type` in the configuration."""
