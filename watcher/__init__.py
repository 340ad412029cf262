"""Watches asynchronous tasks and tells every status change, once, promptly, truthfully."""

__version__ = "0.1.0"
