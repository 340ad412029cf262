"""Standard Webhooks signatures, symmetric (v1) and asymmetric (v1a).

    v1  = "v1,"  + base64(HMAC-SHA256(secret, id + "." + timestamp + "." + body))
    v1a = "v1a," + base64(Ed25519(private key, id + "." + timestamp + "." + body))

Source: the Standard Webhooks specification, "Signature scheme". One signature for each secret,
separated by a space, so that a receiver can rotate its secret without missing an event.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from watcher.core.clock import parse_rfc3339

TOLERANCE = 300.0
"""Seconds by which a timestamp may differ, as in the specification's libraries."""

_SYMMETRIC, _PRIVATE, _PUBLIC = "whsec_", "whsk_", "whpk_"
_SHORTEST, _LONGEST = 24, 64
_SEED = 32
_UNTIL = "until="
_BETWEEN_SECRETS = re.compile(r"[ \t\r\n,]+")


class VerificationError(Exception):
    """The signature does not match; the text says why, without a secret."""


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """One secret: how it signs, and the Unix time at which it expires."""

    sign: Callable[[bytes], str]
    until: float | None


def split_secrets(text: str) -> list[str]:
    """Return the secrets of `text`, separated by white space or commas, each with its expiry."""
    secrets: list[str] = []
    for part in filter(None, _BETWEEN_SECRETS.split(text)):
        if part.startswith(_UNTIL) and secrets:
            secrets[-1] += f" {part}"
        else:
            secrets.append(part)
    return secrets


def bare(secret: str) -> str:
    """Return the secret part of a secret, without its prefix and expiry."""
    key = secret.partition(" ")[0]
    return key.removeprefix(_SYMMETRIC).removeprefix(_PRIVATE)


def parse_secret(text: str) -> Secret:
    """Parse `whsec_` and base64 of 24 to 64 bytes, or `whsk_` and base64 of an Ed25519 private key.

    The prefix `whsec_` is optional. ` until=2026-12-01T00:00:00Z` may follow. Raises `ValueError`
    without the secret in its text.
    """
    key, _, end = text.partition(" ")
    if end and not end.startswith(_UNTIL):
        raise ValueError("may only be followed by an expiry such as until=2026-12-01T00:00:00Z")
    until = _moment(end.removeprefix(_UNTIL)) if end else None
    if key.startswith(_PUBLIC):
        raise ValueError(
            "is a public key (whpk_), which can only verify; the private key begins with whsk_"
        )
    if key.startswith(_PRIVATE):
        return Secret(_asymmetric(_decoded(key, _PRIVATE)), until)
    return Secret(_symmetric(_symmetric_key(key)), until)


def _moment(text: str) -> float:
    try:
        return parse_rfc3339(text)
    except ValueError:
        raise ValueError(
            "has an invalid expiry; expected one such as until=2026-12-01T00:00:00Z"
        ) from None


def _decoded(text: str, prefix: str) -> bytes:
    try:
        return base64.b64decode(text.removeprefix(prefix), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"is not base64 after {prefix}") from None


def _symmetric_key(text: str) -> bytes:
    key = _decoded(text, _SYMMETRIC)
    if not _SHORTEST <= len(key) <= _LONGEST:
        raise ValueError(
            f"has {len(key)} bytes; the specification requires {_SHORTEST} to {_LONGEST}"
        )
    return key


def _symmetric(key: bytes) -> Callable[[bytes], str]:
    return lambda signed: "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()


def _asymmetric(key: bytes) -> Callable[[bytes], str]:
    # Imported only for such a key, because it costs memory and few have one.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if len(key) not in (_SEED, 2 * _SEED):
        raise ValueError(
            f"has {len(key)} bytes; an Ed25519 private key has {_SEED}, "
            f"or {2 * _SEED} with its public key"
        )
    private = Ed25519PrivateKey.from_private_bytes(key[:_SEED])
    if key[_SEED:] not in (b"", private.public_key().public_bytes_raw()):
        raise ValueError("has a private and a public key that do not match")
    return lambda signed: "v1a," + base64.b64encode(private.sign(signed)).decode()


class Signer:
    """Signs with every secret that has not expired, in order.

    Raises `ValueError` if all secrets have an expiry, because nothing could be signed after the
    last.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = [parse_secret(secret) for secret in secrets]
        if all(secret.until is not None for secret in self._secrets):
            raise ValueError("every secret has an expiry; at least one must have none")

    def __repr__(self) -> str:
        return f"Signer({len(self._secrets)} secrets)"

    def sign(self, event_id: str, timestamp: int, body: bytes) -> str:
        """Return the value of `webhook-signature`; `timestamp` is Unix seconds."""
        signed = _signed(event_id, timestamp, body)
        valid = (
            secret for secret in self._secrets if secret.until is None or timestamp < secret.until
        )
        return " ".join(secret.sign(signed) for secret in valid)


def _signed(event_id: str, timestamp: int, body: bytes) -> bytes:
    return b"%s.%d.%s" % (event_id.encode(), timestamp, body)


def verify(secrets: Iterable[str], headers: Mapping[str, str], body: bytes, now: float) -> int:
    """Return the index of the secret that has signed; `whpk_` public keys are secrets here.

    The names of `headers` are in lower case; `now` is in Unix seconds. Raises `VerificationError`
    if no secret matches, and `ValueError` for an invalid secret.
    """
    checks = [_check(secret) for secret in secrets]
    try:
        event_id, timestamp, signatures = (
            headers[f"webhook-{name}"] for name in ("id", "timestamp", "signature")
        )
    except KeyError as error:
        raise VerificationError(f"the header {error.args[0]} is missing") from None
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 16):
        raise VerificationError("webhook-timestamp is not Unix seconds")
    if abs(now - int(timestamp)) > TOLERANCE:
        raise VerificationError(
            f"webhook-timestamp differs by {abs(now - int(timestamp)):.0f} s; "
            f"{TOLERANCE:.0f} s are allowed"
        )
    signed = _signed(event_id, int(timestamp), body)
    for position, check in enumerate(checks):
        if any(check(signed, signature) for signature in signatures.split()):
            return position
    raise VerificationError(
        "no signature matches: another secret was used, or the body differs from the one that was "
        "sent"
    )


def _check(secret: str) -> Callable[[bytes, str], bool]:
    if secret.startswith(_PUBLIC):
        return _public_check(_decoded(secret, _PUBLIC))
    sign = parse_secret(secret).sign
    return lambda signed, signature: hmac.compare_digest(sign(signed).encode(), signature.encode())


def _public_check(key: bytes) -> Callable[[bytes, str], bool]:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if len(key) != _SEED:
        raise ValueError(f"has {len(key)} bytes; an Ed25519 public key has {_SEED}")
    public = Ed25519PublicKey.from_public_bytes(key)

    def check(signed: bytes, signature: str) -> bool:
        version, _, encoded = signature.partition(",")
        try:
            public.verify(base64.b64decode(encoded), signed)
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return version == "v1a"

    return check
