"""The configuration as frozen records, one for each concern. Reading files and the environment:
`configuration.py`.

Durations are numbers of seconds or text such as `500ms`, `30s`, `5m`, `2h`, `7d`.
"""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    SecretStr,
    WithJsonSchema,
    model_validator,
)

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")


def parse_duration(value: Any) -> float:
    """Return the seconds that `value` means: a number, or text such as `500ms`, `30s`, `5m`, `2h`,
    `7d`.

    Raises `ValueError` for anything else, and for what is negative or not finite.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("expected a duration such as 30s, 5m or 7d")
    text = str(value).strip().lower()
    if (match := _DURATION.fullmatch(text)) is None:
        raise ValueError(f"{value!r} is not a duration such as 500ms, 30s, 5m or 7d")
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


def is_loopback(host: str) -> bool:
    """Return whether `host`, a name or an address, is this machine itself."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def local_url(host: str, port: int) -> str:
    """Return the base URL that reaches a listener on `host` and `port` from this machine."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{shown}:{port}"


def http_url(text: str) -> str:
    """Return `text` where it is an http(s) URL; raises `ValueError`, whose text does not hold it,
    where it is not.
    """
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("is not a URL that begins with http:// or https://")
    if parts.username is not None or parts.fragment:
        raise ValueError("may hold neither a user's name nor a fragment")
    _ = parts.port  # raises ValueError where it is no number
    return text


def _secret_url(url: SecretStr) -> SecretStr:
    http_url(url.get_secret_value())
    return url


SecretUrl = Annotated[SecretStr, AfterValidator(_secret_url)]
"""An http(s) URL. Whoever knows the URL of a Slack webhook can post there, so a URL is a secret
like any other.
"""


def _proxy_url(url: SecretStr | None) -> SecretStr | None:
    parts = urlsplit("" if url is None else url.get_secret_value())
    if url is not None and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise ValueError("is not a URL that begins with http:// or https://")
    return url


class Model(BaseModel):
    """Base of all settings: frozen, and a key nobody knows is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class ConnectionSettings(Model):
    """How somebody who is spoken to over HTTP is reached.

    Certificates are PEM files; `ca_file` is trusted instead of the system's authorities, and the
    client's certificate may have its key in the same file. `proxy` may hold a user's name and
    password; the environment's proxies are not used. Without `allow_http`, plain http:// reaches
    this machine alone.
    """

    ca_file: Path | None = None
    client_certificate_file: Path | None = None
    client_key_file: Path | None = None
    proxy: Annotated[SecretStr | None, AfterValidator(_proxy_url)] = None
    allow_http: bool = False

    @model_validator(mode="after")
    def _key_to_a_certificate(self) -> Self:
        if self.client_key_file is not None and self.client_certificate_file is None:
            raise ValueError("client_key_file needs a client_certificate_file")
        return self

    @model_validator(mode="after")
    def _encrypted(self) -> Self:
        for name in ("url", "base_url"):
            given = getattr(self, name, None)
            parts = urlsplit(
                given.get_secret_value() if isinstance(given, SecretStr) else given or ""
            )
            if (
                parts.scheme == "http"
                and not self.allow_http
                and not is_loopback(parts.hostname or "")
            ):
                raise ValueError(
                    f"{name} begins with http://, over which anybody can listen in: use https://, or set allow_http"
                )
        return self

    def certificate_files(self) -> frozenset[Path]:
        """Return the files that a connection needs."""
        files = (self.ca_file, self.client_certificate_file, self.client_key_file)
        return frozenset(file for file in files if file is not None)


class SourceSettings(ConnectionSettings):
    """What every source has. An implementation's own `Settings` adds to it."""

    name: Name = "mixpeek"
    type: str = "mixpeek"
    requests_per_minute: Annotated[int, Field(ge=1)] | None = 60
    timeout: PositiveDuration = 10.0
    unreachable_after: PositiveDuration = 60.0


class PollingSettings(Model):
    """When tasks are asked, and when they are overdue.

    `stalled_after` are patterns of task types; of several that match the longest counts, and null
    means never.
    """

    min_interval: PositiveDuration = 1.0
    max_interval: PositiveDuration = 30.0
    multiplier: Annotated[float, Field(ge=1, le=100)] = 2.0
    lost_after: PositiveDuration = 600.0
    stalled_after: dict[str, PositiveDuration | None] = {"*": 86400.0}
    mode: Literal["auto", "get", "list"] = "auto"


class DiscoverySettings(Model):
    """Tasks that nobody needs to add: those of a list, asked for every now and then.

    `source` defaults to the first one. `bucket` belongs to batches (none: every bucket's); the
    filters but `status` to tasks, and are handed on as they are.
    """

    source: str | None = None
    list: Literal["tasks", "batches"]
    every: PositiveDuration = 60.0
    labels: dict[str, str] = Field(default_factory=dict)
    bucket: Annotated[str, Field(min_length=1)] | None = None
    status: str | None = None
    task_type: str | None = None
    filters: dict[str, Any] | None = None
    search: str | None = None
    sort: dict[str, Any] | None = None
    max_pages: Annotated[int, Field(ge=1, le=1000)] = 10

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        foreign = (
            ("bucket",) if self.list == "tasks" else ("task_type", "filters", "search", "sort")
        )
        for name in foreign:
            if getattr(self, name) is not None:
                raise ValueError(f"{name} is nothing that a list of {self.list} has")
        return self


MAX_SIZE = 4 * 1024**3
"""Bytes that a store may hold where nothing else is said."""

_SIZE_SCHEMA = {
    "anyOf": [
        {"type": "integer", "minimum": 0},
        {"type": "string", "pattern": r"^\d+(\.\d+)? ?([kKmMgGtT]i?)?[bB]?$"},
    ],
    "description": "bytes, or text such as 512MiB, 4GiB",
}


class StoreSettings(Model):
    """Where the watchlist and the outbox live, how long what is finished stays, and how large it
    all may grow.

    Close to `max_size`, what is finished goes before its time; beyond it nothing more is stored.
    """

    url: str
    retention: PositiveDuration = 7 * 86400.0
    max_size: Annotated[ByteSize, Field(ge=16 * 1024**2), WithJsonSchema(_SIZE_SCHEMA)] = ByteSize(
        MAX_SIZE
    )


DEFAULT_ATTEMPTS = (
    0.0,
    5.0,
    30.0,
    120.0,
    300.0,
    1800.0,
    7200.0,
    18000.0,
    36000.0,
    50400.0,
    72000.0,
    86400.0,
)


def _first_at_once(attempts: tuple[float, ...]) -> tuple[float, ...]:
    if attempts[0] != 0:
        raise ValueError("the first attempt is made at once: begin with 0s")
    return attempts


class ChannelSettings(Model):
    """What every channel has. An implementation's own `Settings` adds to it.

    `attempts` are the delays in seconds of each attempt after the one before, `rate` deliveries a
    second.
    """

    name: Name
    type: str
    timeout: PositiveDuration = 15.0
    concurrency: Annotated[int, Field(ge=1, le=256)] = 8
    rate: Annotated[float, Field(gt=0, le=100_000)] | None = None
    attempts: Annotated[
        tuple[Duration, ...], Field(min_length=1, max_length=100), AfterValidator(_first_at_once)
    ] = DEFAULT_ATTEMPTS
    order_wait: Duration = 600.0
    alert_after: Duration = 300.0


class RouteSettings(Model):
    """Which events go to which channels; every condition given must hold.

    All but `labels` and `initial` are shell-style patterns, of which one has to match. `statuses:
    [FAILED]` is short for `events: [task.failed]`. `initial` tells a task's first observation too
    where it is not finished yet.
    """

    channels: Annotated[tuple[str, ...], Field(min_length=1)]
    events: tuple[str, ...] | None = None
    statuses: tuple[str, ...] | None = None
    previous_statuses: tuple[str, ...] | None = None
    task_types: tuple[str, ...] | None = None
    namespaces: tuple[str, ...] | None = None
    sources: tuple[str, ...] | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    initial: bool = False


def _origin(text: str) -> str:
    parts = urlsplit(text)
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or text != f"{parts.scheme}://{parts.netloc}"
    ):
        raise ValueError("is no origin such as https://console.example")
    return text


def _words(value: Any) -> Any:
    """Return the parts of a text, as which the environment gives a list."""
    return value.replace(",", " ").split() if isinstance(value, str) else value


class ServerSettings(Model):
    """Where the HTTP API listens. Pages of `cors_origins` alone may use it from a browser, with the
    token.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    api_token: SecretStr | None = None
    cors_origins: Annotated[
        tuple[Annotated[str, AfterValidator(_origin)], ...], BeforeValidator(_words)
    ] = ()

    @model_validator(mode="after")
    def _pages_need_a_token(self) -> Self:
        if self.cors_origins and self.api_token is None:
            raise ValueError("cors_origins need an api_token")
        return self


class TelemetrySettings(Model):
    """The optional second listener, with metrics and health alone."""

    host: str = "0.0.0.0"  # noqa: S104  # reached by Prometheus and the kubelet from outside the pod
    port: Annotated[int, Field(ge=0, le=65535)] = 9464


class HeartbeatSettings(ConnectionSettings):
    """The optional dead man's switch."""

    url: SecretUrl
    every: PositiveDuration = 60.0


class LogSettings(Model):
    """How much is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "text", "json"] = "auto"


class Settings(Model):
    """Everything the daemon is told. `sources` and `channels` hold the implementations' own
    settings.

    `files` are those that secrets and certificates were read from.
    """

    sources: Annotated[tuple[SourceSettings, ...], Field(min_length=1)]
    polling: PollingSettings = PollingSettings()
    discovery: tuple[DiscoverySettings, ...] = ()
    store: StoreSettings
    channels: tuple[ChannelSettings, ...] = ()
    routes: tuple[RouteSettings, ...] = ()
    server: ServerSettings = ServerSettings()
    telemetry: TelemetrySettings | None = None
    heartbeat: HeartbeatSettings | None = None
    log: LogSettings = LogSettings()
    files: frozenset[Path] = frozenset()
