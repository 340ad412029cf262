"""Limits of what a client sends."""

BODY_LIMIT = 1024 * 1024
"""Bytes of a request's body."""
HEADER_LIMIT = 16 * 1024
"""Bytes of a request's headers."""
