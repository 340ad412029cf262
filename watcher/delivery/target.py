"""Whether the settings of a channel have changed since it last ran, restarts included.

The store holds a keyed digest of them: settings contain secrets.
"""

import hashlib
import os
from typing import Any

import msgspec
from pydantic import SecretStr

from watcher.core.settings import ChannelSettings

_SALT_LENGTH = 16


def digest_of(settings: ChannelSettings, salt: bytes) -> str:
    """Return a digest of all settings, secrets included; it begins with the salt."""
    text = msgspec.json.encode(_plain(settings.model_dump()), order="sorted")
    return salt.hex() + hashlib.blake2b(text, key=salt, digest_size=32).hexdigest()


def new_digest(settings: ChannelSettings) -> str:
    return digest_of(settings, os.urandom(_SALT_LENGTH))


def is_digest_of(stored: str, settings: ChannelSettings) -> bool:
    """Return whether `stored` was made of the same settings."""
    try:
        salt = bytes.fromhex(stored[: 2 * _SALT_LENGTH])
    except ValueError:
        return False
    return digest_of(settings, salt) == stored


def _plain(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, dict):
        return {str(name): _plain(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(member) for member in value]
    return value if isinstance(value, bool | int | float | None) else str(value)
