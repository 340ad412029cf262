"""Outgoing HTTP: one exchange that always ends."""
