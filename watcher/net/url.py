"""Parts of URLs."""

from urllib.parse import quote


def quote_segment(text: str) -> str:
    """Percent-encode `text` as one segment of a path, slashes included."""
    return quote(text, safe="")
