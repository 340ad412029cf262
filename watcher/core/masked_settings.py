"""The settings as people may see them. Pure."""

from typing import Any

from pydantic import BaseModel, SecretStr

from watcher.core.masking import SECRETS
from watcher.core.setting_types import split_url
from watcher.core.settings import ChannelSettings, Settings


def masked(settings: Settings) -> dict[str, Any]:
    """Return the effective settings as plain values, each secret as asterisks, also where it is in
    a setting that is none.
    """
    shown: dict[str, Any] = {}
    for name, value in settings:
        if isinstance(value, tuple):
            shown[name] = [item.model_dump(mode="json") for item in value]
        elif isinstance(value, BaseModel):
            shown[name] = value.model_dump(mode="json")
    hidden: dict[str, Any] = SECRETS.json(shown)
    return hidden


def address_of(channel: ChannelSettings) -> str | None:
    """Return where a channel sends to, without what may be a secret; None where it has no URL.

    A path and a query may hold one; so may the host of a URL that is not one of HTTP.
    """
    url = getattr(channel, "url", None)
    if not isinstance(url, SecretStr):
        return None
    text = url.get_secret_value()
    try:
        parts = split_url(text)
    except ValueError:
        return f"{text.partition('://')[0]}://…" if "://" in text else "…"
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{'/…' if parts.path.strip('/') or parts.query else ''}"
