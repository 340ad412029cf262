"""Watches asynchronous tasks, and notifies on every status change."""

__version__ = "0.1.0"
