"""The settings from one YAML file with the environment on top: read, completed, checked, and said back.

In this order: the file; `WATCHER_…__…` variables over it; what `x_file` keys point to; what a daemon without any file
takes from `MIXPEEK_API_KEY` and its like; the rules that no single section can check.
"""

import difflib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsError

from watcher.configuration import plugins
from watcher.configuration import yaml_document as documents
from watcher.configuration.yaml_document import Document, Place
from watcher.core.errors import ConfigurationError
from watcher.core.routing import matches, route_events
from watcher.core.settings import (
    ChannelSettings,
    ConnectionSettings,
    DiscoverySettings,
    HeartbeatSettings,
    LogSettings,
    PollingSettings,
    RouteSettings,
    ServerSettings,
    Settings,
    SourceSettings,
    StoreSettings,
    TelemetrySettings,
    is_loopback,
)
from watcher.core.signing import bare, split_secrets
from watcher.net.tls import tls_context

DEFAULT_FILE = Path("/etc/watcher/watcher.yaml")
_DEFAULT_STORE = Path("/var/lib/watcher/watcher.db")
_PREFIX = "WATCHER_"
_SECTIONS: dict[str, type[BaseModel]] = {
    "polling": PollingSettings,
    "store": StoreSettings,
    "server": ServerSettings,
    "telemetry": TelemetrySettings,
    "heartbeat": HeartbeatSettings,
    "log": LogSettings,
}
_LISTS = ("sources", "channels", "routes", "discovery")
_FILE_LIMIT = 65536
_MUST_BE_HEARD = ("source.unreachable", "task.lost", "channel.failing")


def find_file(option: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the file to read: the option, else `WATCHER_CONFIG`, else the one in /etc if it is there."""
    if option is not None:
        return option
    if named := environ.get("WATCHER_CONFIG"):
        return Path(named)
    return DEFAULT_FILE if DEFAULT_FILE.is_file() else None


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """Return the settings of the file at `path` (None: no file) with the environment on top.

    Raises `ConfigurationError` with one line for each thing that is wrong; none of them holds a secret.
    """
    document = documents.EMPTY if path is None else documents.read(path)
    return _Reading(document, environ).settings()


class _Environment(BaseSettings):
    """The shape of the environment's variables; what they hold is checked together with the file."""

    sources: list[Any] = []
    channels: list[Any] = []
    routes: list[Any] = []
    discovery: list[Any] = []
    polling: dict[str, Any] = {}
    store: dict[str, Any] = {}
    server: dict[str, Any] = {}
    telemetry: dict[str, Any] = {}
    heartbeat: dict[str, Any] = {}
    log: dict[str, Any] = {}


class _Variables(EnvSettingsSource):
    """pydantic-settings' reading of an environment that is an argument."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        super().__init__(_Environment, env_prefix=_PREFIX, env_nested_delimiter="__")

    def _load_env_vars(self) -> Mapping[str, str]:
        # Kubernetes injects WATCHER_PORT and its like for a service called watcher: only a list may come without `__`.
        lists = {_PREFIX + name.upper() for name in _LISTS}
        return {
            name.lower(): value
            for name, value in self._environ.items()
            if name in lists or (name.startswith(_PREFIX) and "__" in name)
        }


class _Reading:
    """One reading; `_problems` gathers everything that is wrong, so that a person mends it in one go."""

    def __init__(self, document: Document, environ: Mapping[str, str]) -> None:
        self._document = document
        self._environ = environ
        self._problems: list[str] = []
        self._from_environment: dict[str, Any] = {}
        self._files: set[Path] = set()

    def settings(self) -> Settings:
        values = self._merged()
        sources = self._list(values, "sources", [{}])
        channels = self._list(values, "channels", None)
        settings: dict[str, Any] = {
            "sources": self._plugins("sources", [self._with_key(source) for source in sources]),
            "channels": self._plugins(
                "channels", self._shortcuts() if channels is None else channels
            ),
            "routes": self._items(RouteSettings, self._list(values, "routes", []), "routes"),
            "discovery": self._items(
                DiscoverySettings, self._list(values, "discovery", []), "discovery"
            ),
        }
        values.setdefault("store", {})
        if isinstance(values["store"], dict):
            values["store"].setdefault("url", _default_store(self._environ))
        for name, model in _SECTIONS.items():
            if (
                name in values
                and (checked := self._checked(model, values[name], (name,))) is not None
            ):
                settings[name] = checked
        if sources == []:
            self._problem(("sources",), "at least one is needed")
        self._stop_if_wrong()
        complete = Settings(**settings, files=frozenset(self._files))
        self._problems += _contradictions(complete)
        self._stop_if_wrong()
        return complete

    def _stop_if_wrong(self) -> None:
        if self._problems:
            raise ConfigurationError(self._problems)

    # Reading

    def _merged(self) -> dict[str, Any]:
        values = {**self._document.values}
        for name in sorted(values.keys() - _SECTIONS.keys() - set(_LISTS)):
            self._unknown((name,), name, [*_SECTIONS, *_LISTS])
            del values[name]
        for name in self._environ:
            section, found, _ = name.removeprefix(_PREFIX).partition("__")
            if found and name.startswith(_PREFIX) and section.lower() not in {*_SECTIONS, *_LISTS}:
                near = _nearest(section.lower(), [*_SECTIONS, *_LISTS])
                self._problems.append(f"{name}: no section is called {section.lower()!r}{near}")
        try:
            self._from_environment = _Variables(self._environ)()
        except SettingsError as error:
            named = re.search(r'field "(\w+)"', str(error))
            variable = f"{_PREFIX}{named[1].upper()}" if named else "the environment"
            self._problems.append(f"{variable}: is not JSON, as which a whole list is given")
        for name, value in self._from_environment.items():
            below = values.get(name)
            values[name] = (
                {**below, **value} if isinstance(below, dict) and isinstance(value, dict) else value
            )
        return {name: value for name, value in values.items() if value is not None}

    def _list(self, values: Mapping[str, Any], name: str, default: Any) -> Any:
        given = values.get(name, default)
        if given is not None and not isinstance(given, list):
            self._problem((name,), "expected a list")
            return []
        return given

    def _with_key(self, source: Any) -> Any:
        if not isinstance(source, dict):
            return source
        completed = dict(source)
        if not {"api_key", "api_key_file"} & source.keys() and (
            key := self._environ.get("MIXPEEK_API_KEY")
        ):
            completed["api_key"] = key.strip()
        if "base_url" not in source and (url := self._environ.get("MIXPEEK_BASE_URL")):
            completed["base_url"] = url
        return completed

    def _shortcuts(self) -> list[Any]:
        """Return the channels of a daemon that has none configured, from the variables made for that."""
        channels: list[Any] = []
        if url := self._environ.get("WATCHER_WEBHOOK_URL"):
            secrets = split_secrets(self._environ.get("WATCHER_WEBHOOK_SECRETS", ""))
            if not secrets:
                self._problems.append(
                    "WATCHER_WEBHOOK_SECRETS: is missing; a webhook is signed with whsec_…"
                )
                return []
            channels.append({"name": "webhook", "type": "webhook", "url": url, "secrets": secrets})
        if url := self._environ.get("WATCHER_SLACK_URL"):
            channels.append({"name": "slack", "type": "slack", "url": url})
        return channels

    # Checking

    def _plugins(self, folder: plugins.Folder, items: Sequence[Any]) -> tuple[Any, ...]:
        checked = []
        for position, item in enumerate(items):
            place: Place = (folder, position)
            default = "mixpeek" if folder == "sources" else None
            kind = item.get("type", default) if isinstance(item, dict) else None
            if not isinstance(kind, str):
                expected = ", ".join(plugins.names(folder))
                self._problem(place, f"expected a mapping with a type, one of: {expected}")
                continue
            try:
                model = plugins.load(folder, kind).Settings
            except ConfigurationError as error:
                self._problem((*place, "type"), error.problems[0])
                continue
            checked.append(self._checked(model, item, place))
        self._unique_names(folder, [one for one in checked if one is not None])
        return tuple(checked)

    def _unique_names(self, folder: str, items: Sequence[SourceSettings | ChannelSettings]) -> None:
        names = [item.name for item in items]
        for name in sorted({name for name in names if names.count(name) > 1}):
            self._problem((folder,), f"two of them are called {name!r}; names tell them apart")

    def _items(self, model: type[BaseModel], items: Sequence[Any], name: str) -> tuple[Any, ...]:
        return tuple(
            self._checked(model, item, (name, number)) for number, item in enumerate(items)
        )

    def _checked(self, model: type[BaseModel], given: Any, place: Place) -> Any:
        if not isinstance(given, dict):
            self._problem(place, "expected a mapping of keys to values")
            return None
        values = self._with_files(model, {str(key): value for key, value in given.items()}, place)
        try:
            checked = model.model_validate(values)
        except ValidationError as error:
            found = error.errors(include_input=False, include_url=False, include_context=False)
            for one in found:
                # A list whose only item was refused counts as empty, too; that is no news.
                if one["type"] != "too_short" or not any(
                    _within(other["loc"], one["loc"]) for other in found
                ):
                    self._refused(model, one["type"], one["loc"], one["msg"], place)
            return None
        self._certificates(checked, place)
        return checked

    def _refused(
        self, model: type[BaseModel], kind: str, inner: Place, message: str, place: Place
    ) -> None:
        known = [*model.model_fields, *(f"{name}_file" for name in secret_fields(model))]
        if kind == "extra_forbidden":
            self._unknown((*place, *inner), str(inner[-1]), known)
        elif kind == "missing" and inner[-1] in secret_fields(model):
            where = " or the variable MIXPEEK_API_KEY" if inner[-1] == "api_key" else ""
            self._problem(
                place, f"{inner[-1]} is missing: give {inner[-1]}, {inner[-1]}_file{where}"
            )
        elif kind == "too_short":
            self._problem((*place, *inner), "at least one is needed")
        else:
            text = message.removeprefix("Value error, ")
            self._problem((*place, *inner), text[:1].lower() + text[1:])

    def _certificates(self, settings: BaseModel, place: Place) -> None:
        if not isinstance(settings, ConnectionSettings):
            return
        self._files |= settings.certificate_files()
        try:
            tls_context(settings)
        except ConfigurationError as error:
            key, _, text = error.problems[0].partition(": ")
            self._problem((*place, key), text)

    def _with_files(
        self, model: type[BaseModel], values: dict[str, Any], place: Place
    ) -> dict[str, Any]:
        """Put what each `x_file` points to in the place of the secret `x`."""
        for name, several in secret_fields(model).items():
            key = f"{name}_file"
            if key not in values:
                continue
            file = values.pop(key)
            if name in values:
                self._problem((*place, key), f"give either {name} or {key}, not both")
            elif (text := self._secret_file(file, (*place, key))) is not None:
                values[name] = split_secrets(text) if several else text
        return values

    def _secret_file(self, file: object, place: Place) -> str | None:
        try:
            with Path(str(file)).open("rb") as opened:
                content = opened.read(_FILE_LIMIT + 1)
            text = content.decode().strip()
        except (OSError, ValueError) as error:
            self._problem(
                place,
                f"{file} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}",
            )
            return None
        if not text or len(content) > _FILE_LIMIT:
            self._problem(place, f"{file} is {'too long for a secret' if text else 'empty'}")
            return None
        self._files.add(Path(str(file)))
        return text

    # Saying

    def _problem(self, place: Place, text: str) -> None:
        self._problems.append(f"{self._where(place)}{dotted(place)}: {text}")

    def _unknown(self, place: Place, key: str, known: Iterable[str]) -> None:
        self._problem(place, f"unknown key{_nearest(key, known)}")

    def _where(self, place: Place) -> str:
        value: Any = self._from_environment
        for key in place:
            if not isinstance(value, dict) or key not in value:
                return self._document.where(place)
            value = value[key]
        return f"{_PREFIX}{'__'.join(str(key).upper() for key in place)}: "


def _within(inner: Place, outer: Place) -> bool:
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def dotted(place: Place) -> str:
    """Return `place` as people write it: `channels[0].url`."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in place)
    return text.removeprefix(".")


def secret_fields(model: type[BaseModel]) -> dict[str, bool]:
    """Return the names of the model's fields that hold a secret, and whether they hold several."""
    found = {}
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if annotation is SecretStr or SecretStr in get_args(annotation):
            found[name] = False
        elif "tuple" in str(annotation) and "SecretStr" in str(annotation):
            found[name] = True
    return found


def secret_values(settings: Settings) -> set[str]:
    """Return every secret the settings hold, for the log to mask."""
    found: set[str] = set()
    sections = (*settings.sources, *settings.channels, settings.server, settings.heartbeat)
    for section in sections:
        for value in dict(section or {}).values():
            parts = (
                value
                if isinstance(value, tuple)
                else value.values()
                if isinstance(value, dict)
                else (value,)
            )
            found |= {part.get_secret_value() for part in parts if isinstance(part, SecretStr)}
    return found | {bare(secret) for secret in found}


def masked(settings: Settings) -> dict[str, Any]:
    """Return the effective settings as plain values, each secret as asterisks."""
    shown: dict[str, Any] = {}
    for name, value in settings:
        if isinstance(value, tuple):
            shown[name] = [item.model_dump(mode="json") for item in value]
        elif isinstance(value, BaseModel):
            shown[name] = value.model_dump(mode="json")
    return shown


def warnings(settings: Settings) -> list[str]:
    """Return what is allowed but probably not meant, a line each."""
    found = []
    routes = settings.routes or default_routes(settings)
    unheard = [
        kind
        for kind in _MUST_BE_HEARD
        if not any(
            route_events(route) is None or matches(route_events(route) or (), kind)
            for route in routes
        )
    ]
    if unheard:
        found.append(
            f"nobody hears {', '.join(unheard)}: a person would miss that something is wrong"
        )
    used = {channel for route in routes for channel in route.channels}
    found += [
        f"no route leads to channel {one.name!r}"
        for one in settings.channels
        if one.name not in used
    ]
    return found


def default_routes(settings: Settings) -> tuple[RouteSettings, ...]:
    """Return the routes of a configuration that gives none: each channel hears what its kind hears by default."""
    return tuple(
        RouteSettings(
            channels=(one.name,), events=plugins.load("channels", one.type).DEFAULT_EVENTS
        )
        for one in settings.channels
    )


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the file."""
    kinds = {
        folder: {
            "anyOf": [
                _section_schema(plugins.load(folder, name).Settings)
                for name in plugins.names(folder)
            ]
        }
        for folder in ("sources", "channels")
    }
    kinds["routes"] = _section_schema(RouteSettings)
    kinds["discovery"] = _section_schema(DiscoverySettings)
    sections = {name: _section_schema(model) for name, model in _SECTIONS.items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The watcher's configuration",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            **{name: {"type": "array", "items": items} for name, items in kinds.items()},
            **sections,
        },
    }


def _section_schema(model: type[BaseModel]) -> dict[str, Any]:
    shape = model.model_json_schema()
    for name in secret_fields(model):
        shape["properties"][f"{name}_file"] = {
            "type": "string",
            "description": f"a file that holds {name}",
        }
    # What a section must have may come from a file, from the environment, or from a default that is found out.
    required = [
        name
        for name in shape.pop("required", [])
        if name not in secret_fields(model) and name != "url"
    ]
    if model.__name__ == "Settings" and "name" in required:
        required.append("type")
    return {**shape, "required": required} if required else shape


def _contradictions(settings: Settings) -> list[str]:
    problems = []
    if settings.polling.min_interval > settings.polling.max_interval:
        problems.append("polling.min_interval: is longer than polling.max_interval")
    try:
        plugins.load("stores", settings.store.url.partition(":")[0])
    except ConfigurationError as error:
        problems += [f"store.url: {problem}" for problem in error.problems]
    names = {channel.name for channel in settings.channels}
    for number, route in enumerate(settings.routes):
        problems += [
            f"routes[{number}].channels: there is no channel {name!r}{_nearest(name, names)}"
            for name in route.channels
            if name not in names
        ]
    sources = {source.name for source in settings.sources}
    for number, rule in enumerate(settings.discovery):
        if rule.source is not None and rule.source not in sources:
            near = _nearest(rule.source, sources)
            problems.append(f"discovery[{number}].source: there is no source {rule.source!r}{near}")
    if settings.server.api_token is None and not is_loopback(settings.server.host):
        problems.append(
            f"server.host: {settings.server.host} is reached from outside; set server.api_token, or use 127.0.0.1"
        )
    return problems


def _default_store(environ: Mapping[str, str]) -> str:
    folder = _DEFAULT_STORE.parent
    existing = folder if folder.exists() else folder.parent
    states = _state_folder(environ)
    if states is None or os.access(existing, os.W_OK):
        return f"sqlite:///{_DEFAULT_STORE}"
    return f"sqlite:///{states / 'watcher' / 'watcher.db'}"


def _state_folder(environ: Mapping[str, str]) -> Path | None:
    """Return where programs of this user keep their state; None for a user without a home, as in a container."""
    if states := environ.get("XDG_STATE_HOME"):
        return Path(states)
    try:
        return Path(environ.get("HOME") or Path.home(), ".local", "state")
    except RuntimeError:
        return None


def _nearest(key: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(key, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
