"""The settings from one YAML file; environment variables override it.

In this order: the file; `WATCHER_…__…` variables; the files that `x_file` keys name; defaults of a
daemon without a file; the rules that no single section can check.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from watcher.configuration import plugins, yaml_document
from watcher.configuration.checks import contradictions
from watcher.configuration.defaults import default_store, source_type
from watcher.configuration.diagnostics import Diagnostics
from watcher.configuration.environment import (
    read_variables,
    reject_shortcuts,
    shortcut_channels,
    text_of,
)
from watcher.configuration.secrets import mask_secrets
from watcher.configuration.sections import LISTS, SECTIONS
from watcher.configuration.validation import Validator
from watcher.configuration.yaml_document import Document, Place
from watcher.core.errors import ConfigurationError
from watcher.core.listener_settings import ServerSettings
from watcher.core.settings import (
    ChannelSettings,
    DiscoverySettings,
    RouteSettings,
    Settings,
    SourceSettings,
)


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """Return the settings of the file at `path` (None: no file), overridden by `environ`.

    Raises `ConfigurationError` with one line for each error; no line contains a secret.
    """
    return settings_of(read(path), environ)


def read(path: Path | None) -> Document:
    """Return what the file at `path` holds (None: no file). Raises `ConfigurationError`."""
    return yaml_document.EMPTY if path is None else yaml_document.read(path)


def settings_of(document: Document, environ: Mapping[str, str]) -> Settings:
    """Return the settings of a file that was read before; secrets are read from their files now.

    Raises `ConfigurationError`.
    """
    return _Reading(document, environ).settings()


def load_server(path: Path | None, environ: Mapping[str, str]) -> ServerSettings:
    """Return the section `server` alone, for a client: whatever is wrong with the others, and
    without opening the listener's certificates.

    Raises `ConfigurationError` like `load`.
    """
    document = yaml_document.EMPTY if path is None else yaml_document.read(path)
    return _Reading(document, environ).server()


class _Reading:
    """One reading of the file and the environment; collects all errors before it fails."""

    def __init__(self, document: Document, environ: Mapping[str, str]) -> None:
        self._document = document
        self._environ = environ
        self._diagnostics = Diagnostics(document)
        self._validator = Validator(self._diagnostics)
        self._validated = self._validator.validated

    def settings(self) -> Settings:
        values = self._merged()
        channels = self._list(values, "channels", None)
        if channels is None:
            channels = shortcut_channels(self._environ, self._diagnostics)
        else:
            reject_shortcuts(self._environ, self._diagnostics)
        sources = self._list(values, "sources", [{}])
        settings: dict[str, Any] = {
            "sources": self._plugins("sources", sources),
            "channels": self._plugins("channels", channels),
            "routes": self._items(RouteSettings, values, "routes"),
            "discovery": self._items(DiscoverySettings, values, "discovery"),
        }
        if isinstance(store := values.get("store", {}), dict):
            named = {"url", "url_file"} & store.keys()
            values["store"] = store if named else {"url": default_store(self._environ), **store}
        for name, model in SECTIONS.items():
            if name in values:
                settings[name] = self._validated(model, values[name], (name,))
        if sources == []:
            self._diagnostics.add(("sources",), "at least one is required")
        files = self._validator.files
        self._diagnostics.raise_if_any(files)
        complete = Settings(**settings, files=files)
        mask_secrets(complete)
        for place, fault in contradictions(complete):
            self._diagnostics.add(place, fault)
        self._diagnostics.raise_if_any(files)
        return complete

    def server(self) -> ServerSettings:
        values = self._merged().get("server", {})
        self._diagnostics.clear()
        validated = self._validated(ServerSettings, values, ("server",), opens_files=False)
        self._diagnostics.raise_if_any(self._validator.files)
        settings: ServerSettings = validated
        return settings

    # Reading

    def _merged(self) -> dict[str, Any]:
        """Return the file's values, overridden by those of the environment."""
        values = {**self._document.values}
        known = [*SECTIONS, *LISTS]
        for name in sorted(values.keys() - {*known}):
            self._diagnostics.add_unknown((name,), name, known)
            self._diagnostics.hide(values.pop(name))
        variables = read_variables(self._environ, self._diagnostics, sections=SECTIONS, lists=LISTS)
        for name, value in variables.items():
            below = values.get(name)
            if isinstance(value, dict) and not isinstance(below, dict | None):
                continue  # an error of the file
            values[name] = _overridden(below, value)
        return {name: value for name, value in values.items() if value is not None}

    def _list(self, values: Mapping[str, Any], name: str, default: Any) -> Any:
        value = values.get(name, default)
        if value is not None and not isinstance(value, list):
            self._diagnostics.add((name,), "expected a list")
            self._diagnostics.hide(value)
            return []
        return value

    def _plugins(self, folder: plugins.Folder, items: Sequence[Any]) -> tuple[Any, ...]:
        validated = [
            self._plugin(folder, item, (folder, number)) for number, item in enumerate(items)
        ]
        self._require_unique_names(folder, [item for item in validated if item is not None])
        return tuple(validated)

    def _plugin(self, folder: plugins.Folder, item: Any, place: Place) -> Any:
        default = source_type(item) if folder == "sources" else None
        kind = item.get("type", default) if isinstance(item, dict) else None
        if kind not in plugins.names(folder):
            named = {key: item[key] for key in item.keys() - {"name", "type"}} if kind else item
            self._diagnostics.hide(named)  # any of its values may be a secret
        if not isinstance(kind, str):
            expected = ", ".join(plugins.names(folder))
            self._diagnostics.add(place, f"expected a mapping with a type, one of: {expected}")
            return None
        try:
            module = plugins.load(folder, kind)
        except ConfigurationError as error:
            self._diagnostics.add((*place, "type"), error.problems[0])
            return None
        variables: Mapping[str, str] = getattr(module, "ENVIRONMENT", {})
        values = self._from_variables(item, place, variables)
        if values is None:
            return None
        return self._validated(module.Settings, {**values, **item}, place, variables)

    def _from_variables(
        self, item: dict[str, Any], place: Place, variables: Mapping[str, str]
    ) -> dict[str, str] | None:
        """Return the values of a plugin's own variables for keys that are not set; None, with the
        errors collected, if one is invalid.
        """
        values = {}
        for key, variable in variables.items():
            if variable in self._environ and not {key, f"{key}_file"} & item.keys():
                values[key] = text_of(variable, self._environ[variable], self._diagnostics)
                self._diagnostics.name(variable, (*place, key), values[key])
        valid = {key: value for key, value in values.items() if value is not None}
        return valid if len(valid) == len(values) else None

    def _items(
        self, model: type[BaseModel], values: Mapping[str, Any], name: str
    ) -> tuple[Any, ...]:
        items = self._list(values, name, [])
        return tuple(
            self._validated(model, item, (name, number)) for number, item in enumerate(items)
        )

    # Validating

    def _require_unique_names(
        self, folder: str, items: Sequence[SourceSettings | ChannelSettings]
    ) -> None:
        counts = Counter(item.name for item in items)
        for name in sorted(name for name, count in counts.items() if count > 1):
            self._diagnostics.add((folder,), f"duplicate name {name!r}")


def _overridden(below: Any, above: Any) -> Any:
    """Return `above`; of two mappings, their keys together. A secret above replaces the file of it
    below, and the other way round.
    """
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    replaced = {f"{key}_file" for key in above} | {key.removesuffix("_file") for key in above}
    kept = {key: value for key, value in below.items() if key not in replaced - above.keys()}
    return {**kept, **{key: _overridden(below.get(key), value) for key, value in above.items()}}
