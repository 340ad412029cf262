"""The session of a browser: a signed cookie, which no table backs. Pure.

A session is valid after a restart and on each replica; a new token ends all sessions.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Collection

LIFETIME = 12 * 3600
"""Seconds."""
_EXPIRY_SIZE = 8
_NONCE_SIZE = 12
_SIGNED_SIZE = _EXPIRY_SIZE + _NONCE_SIZE
_SIZE = _SIGNED_SIZE + hashlib.sha256().digest_size
_OWN_SITE = "same-origin"


def mint(token: str, now: float, nonce: bytes) -> str:
    """Return a new session for those who know `token`.

    `now` are Unix seconds, `nonce` 12 random bytes. The session is
    `base64url(expiry ‖ nonce ‖ HMAC-SHA256)`.
    """
    signed = int(now + LIFETIME).to_bytes(_EXPIRY_SIZE, "big") + nonce
    return _encoded(signed + _signature(token, signed))


def is_valid(session: str, token: str, now: float) -> bool:
    """Return whether `session` was minted for `token` and has not expired."""
    content = _decoded(session)
    if len(content) != _SIZE or _encoded(content) != session:
        return False
    signed, signature = content[:_SIGNED_SIZE], content[_SIGNED_SIZE:]
    genuine = hmac.compare_digest(signature, _signature(token, signed))
    return genuine and now < int.from_bytes(signed[:_EXPIRY_SIZE], "big")


def name_of(session: str) -> str:
    """Return what stands for `session` in the log: the first four of its random bytes."""
    return _decoded(session)[_EXPIRY_SIZE : _EXPIRY_SIZE + 4].hex()


def cookie_name(port: int | None) -> str:
    """Return the name of the cookie: cookies ignore ports, and a host may have two watchers."""
    return f"watcher_session_{'socket' if port is None else port}"


def is_token(sent: str, token: str) -> bool:
    """Return whether `sent` is `token`; its length and content have no effect on the duration."""
    return hmac.compare_digest(
        hashlib.sha256(sent.encode()).digest(), hashlib.sha256(token.encode()).digest()
    )


def sent_by_page(
    sites: Collection[str], origins: Collection[str], own_origins: Collection[str]
) -> bool:
    """Return whether a form was sent by a page of ours.

    `sites` and `origins` are all values of `Sec-Fetch-Site` and `Origin`. A browser leaves out
    `Sec-Fetch-Site` at a plain `http://` address of another host; then `Origin` has to be one of
    `own_origins`. A request with neither comes from no page of ours.
    """
    if sites:
        return list(sites) == [_OWN_SITE]
    return len(origins) == 1 and all(origin in own_origins for origin in origins)


def _signature(token: str, signed: bytes) -> bytes:
    key = hashlib.sha256(b"page session" + token.encode()).digest()
    return hmac.digest(key, signed, "sha256")


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _decoded(session: str) -> bytes:
    try:
        return base64.b64decode(session + "=" * (-len(session) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
