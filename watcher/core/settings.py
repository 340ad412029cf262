"""The configuration as frozen records, one per section. The room `configuration` reads them."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ByteSize,
    Field,
    SecretStr,
    WithJsonSchema,
    model_validator,
)

from watcher.core import labels
from watcher.core.listener_settings import ServerSettings, TelemetrySettings
from watcher.core.local_address import is_loopback
from watcher.core.setting_types import (
    Duration,
    HoldsSecret,
    Model,
    Name,
    PositiveDuration,
    Rate,
    SecretUrl,
    parse_rate,
    split_url,
    text_of_scalar,
)
from watcher.core.statuses import word_key
from watcher.core.tasks import KNOWN_STATUSES
from watcher.core.texts import check_id


def _proxy_url(url: SecretStr | None) -> SecretStr | None:
    if url is not None:
        split_url(url.get_secret_value())
    return url


class ConnectionSettings(Model):
    """How a peer is reached over HTTP."""

    ca_file: Path | None = None
    """PEM file with certificate authorities, root or intermediate, to trust instead of the
    system's."""
    client_certificate_file: Path | None = None
    """PEM file with a client certificate, optionally with its key."""
    client_key_file: Path | None = None
    """PEM file with the key of the client certificate."""
    strict_certificates: bool = False
    """Reject certificates that break RFC 5280, such as those of old private authorities without key
    identifiers."""
    proxy: Annotated[SecretStr | None, AfterValidator(_proxy_url)] = None
    """Proxy URL, optionally with user and password. The environment's proxies are ignored."""
    allow_http: bool = False
    """Allow plain http:// to other machines."""

    @model_validator(mode="after")
    def _key_with_certificate(self) -> Self:
        if self.client_key_file is not None and self.client_certificate_file is None:
            raise ValueError("client_key_file needs a client_certificate_file")
        return self

    @model_validator(mode="after")
    def _encrypted(self) -> Self:
        for name in ("url", "base_url"):
            value = getattr(self, name, None)
            url = value.get_secret_value() if isinstance(value, SecretStr) else value or ""
            parts = urlsplit(url)
            local = is_loopback(parts.hostname or "")
            if parts.scheme == "http" and not self.allow_http and not local:
                raise ValueError(
                    f"{name} begins with http://, which is not encrypted: "
                    "use https://, or set allow_http"
                )
        return self

    def certificate_files(self) -> frozenset[Path]:
        """Return the files that a connection needs."""
        files = (self.ca_file, self.client_certificate_file, self.client_key_file)
        return frozenset(file for file in files if file is not None)


def _as_words(words: Any) -> Any:
    """Return a mapping whose keys are words: YAML reads `true` and `10` as other types."""
    if not isinstance(words, dict):
        return words
    return {text_of_scalar(word): status for word, status in words.items()}


def _known_statuses(words: dict[str, str]) -> dict[str, str]:
    keys: dict[str, str] = {}
    for word, status in words.items():
        if (other := keys.setdefault(word_key(word), word)) != word:
            raise ValueError(f"{word} and {other} are the same word, which is given twice")
        if word in KNOWN_STATUSES:
            raise ValueError(f"{word} is a status itself and keeps its meaning")
        if status not in KNOWN_STATUSES:
            raise ValueError(
                f"unknown status {status!r} for {word}; "
                f"known ones are {', '.join(sorted(KNOWN_STATUSES))}"
            )
    return words


class PollingSettings(Model):
    """When tasks are polled, and when they count as lost or stalled."""

    min_interval: PositiveDuration = 1.0
    """Interval after a status change."""
    max_interval: PositiveDuration = 30.0
    """Interval for a task whose status does not change."""
    multiplier: Annotated[float, Field(ge=1, le=100)] = 2.0
    """Growth of the interval after each poll without a change."""
    lost_after: PositiveDuration = 600.0
    """Send task.lost after upstream has answered 404 for this long."""
    stalled_after: dict[str, PositiveDuration | None] = {"*": 86400.0}  # noqa: RUF012  # pydantic copies it
    """Send task.stalled after this time without a change, by task type pattern; null means never.
    The longest matching pattern applies."""
    mode: Literal["auto", "get", "list"] = "auto"
    """get: one task per request; list: up to 1,000; auto: what suits the number of due tasks."""


class SourcePollingSettings(Model):
    """What one source does differently; a key that is not set is that of `polling`."""

    min_interval: PositiveDuration | None = None
    """Interval after a status change."""
    max_interval: PositiveDuration | None = None
    """Interval for a task whose status does not change."""
    multiplier: Annotated[float, Field(ge=1, le=100)] | None = None
    """Growth of the interval after each poll without a change."""
    lost_after: PositiveDuration | None = None
    """Send task.lost after upstream has answered 404 for this long."""
    stalled_after: dict[str, PositiveDuration | None] | None = None
    """Send task.stalled after this time without a change, by task type pattern; null means never.
    The longest matching pattern applies."""
    mode: Literal["auto", "get", "list"] | None = None
    """get: one task per request; list: up to 1,000; auto: what suits the number of due tasks."""


class SourceSettings(ConnectionSettings):
    """Settings of every source. A source's own `Settings` adds to them."""

    name: Name
    """Name of the source in watches, events and metrics."""
    type: str
    """Type of the source."""
    requests_per_minute: Annotated[int, Field(ge=1)] | None = 60
    """Request limit of each route; null for no own limit."""
    requests: Rate | None = None
    """Request limit for any period instead, such as 300/1m or 4000/1h."""
    polling: SourcePollingSettings | None = None
    """What this source does differently from `polling`."""
    timeout: PositiveDuration = 10.0
    """Deadline of one request."""
    unreachable_after: PositiveDuration = 60.0
    """Send source.unreachable after at least three failures without a success for this long."""
    statuses: Annotated[
        dict[str, str], BeforeValidator(_as_words), AfterValidator(_known_statuses)
    ] = Field(default_factory=dict)
    """Further words of upstream for known statuses, such as `{DELIVERED: COMPLETED}`."""

    @model_validator(mode="after")
    def _one_rate(self) -> Self:
        given = {"requests", "requests_per_minute"} & self.model_fields_set
        if len(given) == 2 and self.requests is not None:
            raise ValueError("requests replaces requests_per_minute: set one of them")
        return self

    @property
    def rate(self) -> tuple[int, float] | None:
        """The limit of requests, and its period in seconds; None for no own limit."""
        if self.requests is not None:
            return parse_rate(self.requests)
        return None if self.requests_per_minute is None else (self.requests_per_minute, 60.0)

    def polling_with(self, common: PollingSettings) -> PollingSettings:
        """Return `common` with what this source does differently."""
        own = self.polling
        if own is None:
            return common
        given = {name: getattr(own, name) for name in own.model_fields_set}
        update = {name: value for name, value in given.items() if value is not None}
        return common.model_copy(update=update)

    def without_limit(self) -> Self:
        """Return the settings for a single request, which needs no budget."""
        return self.model_copy(update={"requests_per_minute": None, "requests": None})

    def warnings(self) -> tuple[str, ...]:
        """Return what is allowed but probably a mistake, without any secret."""
        return ()

    def discovery_fault(self, rule: "DiscoverySettings") -> tuple[str, str] | None:
        """Return the key of a discovery rule that this source cannot follow, and why; None if it
        can follow the rule.
        """
        return None


_ID_SCHEMA = {"type": "string", "minLength": 1, "maxLength": 256}
"""Without a pattern: what reads the chart's schema does not know the escapes that it would need."""


_LabelName = Annotated[str, Field(min_length=1, max_length=labels.NAME_LENGTH)]
_LabelValue = Annotated[str, Field(max_length=labels.VALUE_LENGTH)]
_Labels = Annotated[dict[_LabelName, _LabelValue], Field(max_length=labels.MOST)]


class DiscoverySettings(Model):
    """A rule that lists tasks or batches, and watches new ones."""

    source: str | None = None
    """Name of the source; default: the first one."""
    list: Literal["tasks", "batches"]
    """What is listed. With batches: the task of each batch and of each tier."""
    every: PositiveDuration = 60.0
    """Interval of the rule."""
    labels: _Labels = Field(default_factory=dict)
    """Labels of the added watches."""
    bucket: Annotated[str, AfterValidator(check_id), WithJsonSchema(_ID_SCHEMA)] | None = None
    """Bucket whose batches are listed; default: all buckets."""
    status: Annotated[str, AfterValidator(str.upper)] | None = None
    """Only tasks or batches with this status."""
    task_type: str | None = None
    """Only tasks of this type."""
    filters: dict[str, Any] | None = None
    """Filters of the task list, passed to the API."""
    search: str | None = None
    """Search text of the task list, passed to the API."""
    sort: dict[str, Any] | None = None
    """Order of the task list, passed to the API."""
    max_pages: Annotated[int, Field(ge=1, le=1000)] = 10
    """Pages of 1,000 that one run reads at most."""

    @model_validator(mode="after")
    def _fields_of_the_list(self) -> Self:
        foreign = (
            ("bucket",) if self.list == "tasks" else ("task_type", "filters", "search", "sort")
        )
        for name in foreign:
            if getattr(self, name) is not None:
                raise ValueError(f"{name} does not apply to a list of {self.list}")
        return self


SIZE_SCHEMA = {
    "anyOf": [
        {"type": "integer", "minimum": 0},
        {"type": "string", "pattern": r"^\d+(\.\d+)? ?([kKmMgGtT]i?)?[bB]?$"},
    ]
}


class StoreSettings(Model):
    """The database of watchlist and outbox."""

    url: Annotated[str, HoldsSecret()]
    """URL of the store: `sqlite:////path/of/file`, or `postgresql://user@host/database`. Default:
    /var/lib/watcher/watcher.db, else a file in the user's state folder.
    """
    retention: PositiveDuration = 7 * 86400.0
    """How long ended watches and delivered events are kept."""
    max_size: Annotated[ByteSize, Field(ge=16 * 1024**2), WithJsonSchema(SIZE_SCHEMA)] | None = None
    """Limit in bytes, or text such as 512MiB, 4GiB. Default: 4GiB or nine tenths of what the volume
    has left, the smaller. Half of it may be pending deliveries. Near it, ended watches and events
    are removed early; at it, writes fail. For SQLite only."""


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


def _first_is_immediate(attempts: tuple[float, ...]) -> tuple[float, ...]:
    if attempts[0] != 0:
        raise ValueError("the first attempt is immediate: begin with 0s")
    return attempts


class ChannelSettings(Model):
    """Settings of every channel. A channel's own `Settings` adds to them."""

    default_events: ClassVar[tuple[str, ...]] = ("*",)
    """Patterns of the events that the channel receives in a configuration without routes."""

    name: Name
    """Name of the channel in routes, commands and metrics."""
    type: str
    """Type of the channel."""
    timeout: PositiveDuration = 15.0
    """Deadline of one attempt."""
    concurrency: Annotated[int, Field(ge=1, le=256)] = 8
    """Attempts at the same time."""
    rate: Annotated[float, Field(gt=0, le=100_000)] | None = None
    """Deliveries per second; null for no limit."""
    attempts: Annotated[
        tuple[Duration, ...],
        Field(min_length=1, max_length=100),
        AfterValidator(_first_is_immediate),
    ] = DEFAULT_ATTEMPTS
    """Delay of each attempt after the previous one; the first is 0s."""
    order_wait: Duration = 600.0
    """How long a failing delivery blocks later events of its task."""
    alert_after: Duration = 300.0
    """Send channel.failing to the other channels after this time without a success."""

    def warnings(self) -> tuple[str, ...]:
        """Return what is allowed but probably a mistake, without any secret."""
        return ()


class RouteSettings(Model):
    """Which events go to which channels. All conditions must match; patterns are shell-style."""

    channels: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names of channels."""
    events: tuple[str, ...] | None = None
    """Patterns of event types; default: all."""
    statuses: tuple[str, ...] | None = None
    """Statuses: `[FAILED]` is short for `events: [task.failed]`."""
    previous_statuses: tuple[str, ...] | None = None
    """Patterns of the status before."""
    task_types: tuple[str, ...] | None = None
    """Patterns of task types."""
    namespaces: tuple[str, ...] | None = None
    """Patterns of namespaces."""
    sources: tuple[str, ...] | None = None
    """Patterns of source names."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels that the watch must have."""
    initial: bool = False
    """Also send the first status of a task if it is not terminal."""


class HeartbeatSettings(ConnectionSettings):
    """The optional dead man's switch: a GET while the watcher is healthy, from one of several
    replicas for all of them.
    """

    url: SecretUrl
    """URL to request."""
    every: PositiveDuration = 60.0
    """Interval of the requests."""


class LogSettings(Model):
    """The log."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe level that is logged."""
    format: Literal["auto", "text", "json"] = "auto"
    """auto: text on a terminal, else JSON lines."""


class Settings(Model):
    """All settings of the daemon. `sources` and `channels` hold the plugins' own settings."""

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
    """Files that secrets and certificates were read from."""

    @property
    def effective_routes(self) -> tuple[RouteSettings, ...]:
        """The routes; without any, each channel receives the default events of its type."""
        return self.routes or tuple(
            RouteSettings(channels=(channel.name,), events=channel.default_events)
            for channel in self.channels
        )
