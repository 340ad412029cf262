"""Types of single settings: durations, names, URLs.

Durations are numbers of seconds or text such as `500ms`, `30s`, `5m`, `2h`, `7d`.
"""

import ipaddress
import re
import unicodedata
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    WithJsonSchema,
)

from watcher.core.secret_texts import beyond_ascii, not_in_url

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")


def parse_duration(value: Any) -> float:
    """Return the seconds of a number, or of text such as `500ms`, `30s`, `5m`, `2h`, `7d`.

    Raises `ValueError` for anything else, and for negative or infinite numbers.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("expected a duration such as 30s, 5m or 7d")
    text = str(value).strip().lower()
    if (match := _DURATION.fullmatch(text)) is None:
        raise ValueError(f"invalid duration {value!r}; expected one such as 500ms, 30s, 5m or 7d")
    return float(match[1]) * _UNITS[match[2] or "s"]


_DURATION_SCHEMA = {
    "anyOf": [
        {"type": "number", "minimum": 0},
        {"type": "string", "pattern": r"^\d+(\.\d+)?(ms|s|m|h|d)?$"},
    ],
    "description": "seconds, or text such as 500ms, 30s, 5m, 7d",
}

Duration = Annotated[float, BeforeValidator(parse_duration), WithJsonSchema(_DURATION_SCHEMA)]
"""Seconds, zero allowed."""


def _positive(value: float) -> float:
    if value <= 0:
        raise ValueError("must be longer than 0s")
    return value


PositiveDuration = Annotated[Duration, AfterValidator(_positive)]

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""A source's or channel's name: it becomes a metric label and part of a path."""


LONGEST_SECRET = 8192
"""Characters of a key, token, header or URL: servers accept no longer ones, and masking them would
take seconds."""
_EXPECTED_URL = "; expected one that begins with http:// or https://, and a host"
_HOST_LABEL = re.compile(r"[A-Za-z0-9_-]{1,63}")


class HoldsSecret:
    """Marks a text that is shown, but for a password in it: a file may give it, as a secret."""


def check_url_text(text: str) -> None:
    """Raise `ValueError` if `text` is empty or contains what no URL can, such as white space."""
    if not text.strip():
        raise ValueError("must not be empty")
    if len(text) > LONGEST_SECRET:
        raise ValueError(f"is longer than {LONGEST_SECRET} characters")
    if fault := not_in_url(text):
        raise ValueError(f"{fault}, which no URL can contain")


def split_url(text: str) -> SplitResult:
    """Return the parts of an http(s) URL.

    Raises `ValueError` if it is none, without the URL in its text.
    """
    check_url_text(text)
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:  # its text may contain the user and password
        raise ValueError(f"invalid URL{_EXPECTED_URL}") from None
    if parts.scheme not in ("http", "https") or not _is_host(host):
        raise ValueError(f"invalid URL{_EXPECTED_URL}")
    if port == 0:
        raise ValueError("invalid URL: its port is 0")
    return parts


def _is_host(host: str) -> bool:
    if ":" in host:
        try:
            return bool(ipaddress.IPv6Address(host))
        except ValueError:
            return False
    if not all(char.isascii() or unicodedata.category(char)[0] in "LMN" for char in host):
        return False
    try:
        host = host.encode("idna").decode()
    except UnicodeError:
        return False
    labels = host.removesuffix(".").split(".")
    return len(host) < 254 and all(_HOST_LABEL.fullmatch(label) for label in labels)


def _listening_host(text: str) -> str:
    if not _is_host(text):
        raise ValueError("expected the name or address of a host, such as 127.0.0.1")
    return text


ListeningHost = Annotated[str, AfterValidator(_listening_host)]
"""What a listener is bound to, and what a command connects to."""


def http_url(text: str) -> str:
    """Return `text` if it is an http(s) URL.

    Raises `ValueError` otherwise, without the URL in its text.
    """
    parts = split_url(text)
    if parts.username is not None or parts.fragment:
        raise ValueError("must not contain a user name or a fragment")
    return text


def _base_url(text: str) -> str:
    http_url(text)
    if "?" in text:
        raise ValueError("must not contain a query")
    return text.rstrip("/")


BaseUrl = Annotated[str, AfterValidator(_base_url)]
"""An http(s) URL that paths are appended to."""


def text_of_scalar(value: object) -> object:
    """Return a boolean or a number as the text that JSON has for it; anything else unchanged."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def parse_rate(text: str) -> tuple[int, float]:
    """Return the requests and the seconds of a rate such as `60/1m`.

    Raises `ValueError` for anything else.
    """
    count, _, period = text.partition("/")
    valid = count.isascii() and count.isdigit() and len(count) < 9 and int(count) > 0
    if not valid or not period:
        raise ValueError("expected requests and a period, such as 60/1m or 4000/1h")
    seconds = parse_duration(period)
    if not 1 <= seconds <= 86400:
        raise ValueError("the period of a rate is 1s to 1d")
    return int(count), seconds


def _rate(text: str) -> str:
    parse_rate(text)
    return text


Rate = Annotated[
    str,
    AfterValidator(_rate),
    WithJsonSchema(
        {"type": "string", "pattern": r"^[1-9][0-9]{0,7}/\d+(\.\d+)?(s|m|h|d)?$"},
    ),
]
"""So many requests in a period: `60/1m`."""


def _fits_a_header(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if not text.strip():
        raise ValueError("must not be empty")
    if len(text) > LONGEST_SECRET:
        raise ValueError(f"is longer than {LONGEST_SECRET} characters")
    if fault := beyond_ascii(text):
        raise ValueError(f"{fault}, which no header can carry")
    return secret


def _text_of_a_header(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    if fault := beyond_ascii(text, spaces=True):
        raise ValueError(f"{fault}, which no header can carry")
    return text


HeaderText = Annotated[
    str, AfterValidator(_text_of_a_header), WithJsonSchema({"type": "string", "minLength": 1})
]
"""What is sent in a header, and may be shown."""

_TOKEN_SCHEMA = {"type": "string", "format": "password", "writeOnly": True, "minLength": 1}

Token = Annotated[SecretStr, AfterValidator(_fits_a_header), WithJsonSchema(_TOKEN_SCHEMA)]
"""A secret that is sent in a header."""


API_TOKEN_LENGTH = 16
"""Characters of the API's token, at least."""


def _long_enough(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value()) < API_TOKEN_LENGTH:
        raise ValueError(
            f"has fewer than {API_TOKEN_LENGTH} characters; make one with `openssl rand -hex 32`"
        )
    return secret


ApiToken = Annotated[
    SecretStr,
    AfterValidator(_fits_a_header),
    AfterValidator(_long_enough),
    WithJsonSchema({**_TOKEN_SCHEMA, "minLength": API_TOKEN_LENGTH}),
]
"""The token of the HTTP API. Attempts are limited, but a short one could still be guessed."""


def _secret_url(url: SecretStr) -> SecretStr:
    http_url(url.get_secret_value())
    return url


SecretUrl = Annotated[SecretStr, AfterValidator(_secret_url)]
"""An http(s) URL. Anyone with the URL of a Slack webhook can post there, so a URL is a secret."""


class Model(BaseModel):
    """Base of all settings: frozen; an unknown key is an error; the text below a field describes
    it in the schema.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
