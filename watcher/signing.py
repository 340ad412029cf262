"""Standard Webhooks signatures, version 1 (symmetric).

    signature = "v1," + base64(HMAC-SHA256(secret, id + "." + timestamp + "." + body))

Source: the Standard Webhooks specification, "Signature scheme". One signature for each secret, separated by a space, so
that a receiver can change its secret without missing an event.
"""

import base64
import binascii
import hmac
from collections.abc import Iterable

_PREFIX = "whsec_"
_SHORTEST, _LONGEST = 24, 64


def parse_secret(text: str) -> bytes:
    """Return the key that `text` holds: base64 of 24 to 64 bytes, with or without `whsec_` before it.

    Raises `ValueError`, whose text does not hold the secret.
    """
    if text.startswith("whsk_"):
        raise ValueError("is an asymmetric key (whsk_); a symmetric secret begins with whsec_")
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is not base64 after whsec_") from None
    if not _SHORTEST <= len(key) <= _LONGEST:
        raise ValueError(f"holds {len(key)} bytes; the specification asks for {_SHORTEST} to {_LONGEST}")
    return key


class Signer:
    """Signs with every secret, in their order."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._keys = [parse_secret(secret) for secret in secrets]

    def __repr__(self) -> str:
        return f"Signer({len(self._keys)} secrets)"

    def sign(self, event_id: str, timestamp: int, body: bytes) -> str:
        """Return the value of `webhook-signature`; `timestamp` is Unix seconds."""
        signed = b"%s.%d.%s" % (event_id.encode(), timestamp, body)
        digests = (hmac.digest(key, signed, "sha256") for key in self._keys)
        return " ".join("v1," + base64.b64encode(digest).decode() for digest in digests)
