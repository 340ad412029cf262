"""Limits of what a client sends."""

BODY_LIMIT = 1024 * 1024
"""Bytes of a request's body."""
VALUES_LIMIT = 30_000
"""Values in a request's body: a thousand watches with all their labels. Each may be an error."""
HEADER_LIMIT = 16 * 1024
"""Bytes of a request's headers."""
