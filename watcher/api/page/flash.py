"""What an action did, as a line of the page that it leads to. Pure.

The text is part of that page's address, signed with the token: a link of someone else cannot make
the page say anything.
"""

import hashlib
import hmac
from collections.abc import Mapping

TEXT = "done"
SIGNATURE = "by"
LIMIT = 500
"""Characters of a text."""


def flash_query(text: str, token: str) -> dict[str, str]:
    """Return the parts of a query that show `text`."""
    kept = text if len(text) <= LIMIT else f"{text[: LIMIT - 1]}…"
    return {TEXT: kept, SIGNATURE: _signature(kept, token)}


def flash_of(query: Mapping[str, str], token: str) -> str | None:
    """Return the text that a query shows; None without one that we signed."""
    text, signature = query.get(TEXT), query.get(SIGNATURE, "")
    if not text or len(text) > LIMIT:
        return None
    expected = _signature(text, token)
    return text if hmac.compare_digest(signature.encode(), expected.encode()) else None


def _signature(text: str, token: str) -> str:
    key = hashlib.sha256(b"page flash" + token.encode()).digest()
    return hmac.digest(key, text.encode(errors="replace"), "sha256")[:12].hex()
