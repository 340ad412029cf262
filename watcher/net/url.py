"""Parts of URLs."""

from urllib.parse import quote


def quote_segment(text: str) -> str:
    """Percent-encode `text` as one segment of a path, slashes included.

    `.` and `..` are encoded as well, because a client would resolve them. A server may resolve them
    nevertheless: `core.texts.check_id` accepts neither.
    """
    return text.replace(".", "%2E") if text in (".", "..") else quote(text, safe="")
