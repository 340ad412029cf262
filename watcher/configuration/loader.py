"""The settings from one YAML file; environment variables override it.

In this order: the file; `WATCHER_…__…` variables; the files that `x_file` keys name; defaults of a
daemon without a file; the rules that no single section can check.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from watcher.configuration import plugins, yaml_document
from watcher.configuration.checks import contradictions
from watcher.configuration.defaults import DEFAULT_SOURCE_TYPE, default_store
from watcher.configuration.diagnostics import Diagnostics
from watcher.configuration.environment import read_variables, shortcut_channels
from watcher.configuration.secrets import SecretFiles, mask_secrets, secret_fields
from watcher.configuration.sections import LISTS, SECTIONS
from watcher.configuration.yaml_document import Document, Place
from watcher.core.errors import ConfigurationError
from watcher.core.listener_settings import ServerSettings, TlsSettings
from watcher.core.settings import (
    ChannelSettings,
    ConnectionSettings,
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
        self._secret_files = SecretFiles(self._diagnostics)
        self._certificate_files: set[Path] = set()

    def settings(self) -> Settings:
        values = self._merged()
        channels = self._list(values, "channels", None)
        if channels is None:
            channels = shortcut_channels(self._environ, self._diagnostics)
        sources = self._list(values, "sources", [{}])
        settings: dict[str, Any] = {
            "sources": self._plugins("sources", sources),
            "channels": self._plugins("channels", channels),
            "routes": self._items(RouteSettings, values, "routes"),
            "discovery": self._items(DiscoverySettings, values, "discovery"),
        }
        if isinstance(store := values.setdefault("store", {}), dict):
            store.setdefault("url", default_store(self._environ))
        for name, model in SECTIONS.items():
            if name in values:
                settings[name] = self._validated(model, values[name], (name,))
        if sources == []:
            self._diagnostics.add(("sources",), "at least one is required")
        files = frozenset(self._secret_files.files | self._certificate_files)
        self._diagnostics.raise_if_any(files)
        complete = Settings(**settings, files=files)
        mask_secrets(complete)
        self._diagnostics.add_line(*contradictions(complete))
        self._diagnostics.raise_if_any(files)
        return complete

    def server(self) -> ServerSettings:
        values = self._merged().get("server", {})
        self._diagnostics.clear()
        validated = self._validated(ServerSettings, values, ("server",), opens_files=False)
        self._diagnostics.raise_if_any(self._secret_files.files)
        settings: ServerSettings = validated
        return settings

    # Reading

    def _merged(self) -> dict[str, Any]:
        """Return the file's values, overridden by those of the environment."""
        values = {**self._document.values}
        known = [*SECTIONS, *LISTS]
        for name in sorted(values.keys() - {*known}):
            self._diagnostics.add_unknown((name,), name, known)
            del values[name]
        variables = read_variables(self._environ, self._diagnostics, sections=SECTIONS, lists=LISTS)
        self._diagnostics.from_environment = variables
        for name, value in variables.items():
            values[name] = _overridden(values.get(name), value)
        return {name: value for name, value in values.items() if value is not None}

    def _list(self, values: Mapping[str, Any], name: str, default: Any) -> Any:
        value = values.get(name, default)
        if value is not None and not isinstance(value, list):
            self._diagnostics.add((name,), "expected a list")
            return []
        return value

    def _plugins(self, folder: plugins.Folder, items: Sequence[Any]) -> tuple[Any, ...]:
        validated = [
            self._plugin(folder, item, (folder, number)) for number, item in enumerate(items)
        ]
        self._require_unique_names(folder, [item for item in validated if item is not None])
        return tuple(validated)

    def _plugin(self, folder: plugins.Folder, item: Any, place: Place) -> Any:
        default = DEFAULT_SOURCE_TYPE if folder == "sources" else None
        kind = item.get("type", default) if isinstance(item, dict) else None
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
        values = {**self._from_variables(item, variables), **item}
        return self._validated(module.Settings, values, place, variables)

    def _from_variables(self, item: dict[str, Any], variables: Mapping[str, str]) -> dict[str, Any]:
        """Return the values of a plugin's own variables for keys that are not set."""
        return {
            key: value.strip()
            for key, variable in variables.items()
            if not {key, f"{key}_file"} & item.keys() and (value := self._environ.get(variable))
        }

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
        names = [item.name for item in items]
        for name in sorted({name for name in names if names.count(name) > 1}):
            self._diagnostics.add((folder,), f"duplicate name {name!r}")

    def _validated(
        self,
        model: type[BaseModel],
        item: Any,
        place: Place,
        variables: Mapping[str, str] | None = None,
        *,
        opens_files: bool = True,
    ) -> Any:
        """Return the validated settings; None, with the errors collected, if they are invalid."""
        if not isinstance(item, dict):
            self._diagnostics.add(place, "expected a mapping of keys to values")
            return None
        values = {str(key): value for key, value in item.items()}
        files = {
            name: values[f"{name}_file"]
            for name in secret_fields(model)
            if f"{name}_file" in values
        }
        values = self._secret_files.resolve(model, values, place)
        try:
            settings = model.model_validate(values)
        except ValidationError as error:
            errors = error.errors(include_input=False, include_url=False, include_context=False)
            for one in errors:
                # A list whose only item is invalid counts as empty as well, which adds nothing.
                if one["type"] != "too_short" or not any(
                    _is_within(other["loc"], one["loc"]) for other in errors
                ):
                    self._add_invalid(model, one, place, files, variables or {})
            return None
        if opens_files:
            self._check_certificates(settings, place)
        return settings

    def _add_invalid(
        self,
        model: type[BaseModel],
        error: ErrorDetails,
        place: Place,
        files: Mapping[str, Any],
        variables: Mapping[str, str],
    ) -> None:
        """Add an error of a value; `files` are those that secrets were read from."""
        kind, inner = error["type"], error["loc"]
        secrets, key = secret_fields(model), inner[-1] if inner else ""
        text = error["msg"].removeprefix("Value error, ")
        text = "at least one is required" if kind == "too_short" else text[:1].lower() + text[1:]
        if inner and (name := str(inner[0])) in files:
            if kind != "missing":  # a file that cannot be read has its error
                self._diagnostics.add((*place, f"{name}_file"), f"{files[name]}: {text}")
        elif kind == "extra_forbidden":
            known = [*_fields_at(model, inner[:-1]), *(f"{name}_file" for name in secrets)]
            self._diagnostics.add_unknown((*place, *inner), str(key), known)
        elif kind == "missing" and key in secrets:
            variable = f" or the variable {variables[key]}" if key in variables else ""
            self._diagnostics.add(place, f"{key} is missing: set {key}, {key}_file{variable}")
        else:
            self._diagnostics.add((*place, *inner), text)

    def _check_certificates(self, settings: BaseModel, place: Place) -> None:
        """Open the files of a section's connections, or of its listener."""
        # Imports aiohttp, which the commands that only call the daemon do without.
        from watcher.net.server_tls import server_context
        from watcher.net.tls import tls_context

        try:
            if isinstance(settings, ConnectionSettings):
                self._certificate_files |= settings.certificate_files()
                tls_context(settings)
            elif isinstance(tls := getattr(settings, "tls", None), TlsSettings):
                place = (*place, "tls")
                self._certificate_files |= tls.files()
                server_context(tls)
        except ConfigurationError as error:
            key, _, text = error.problems[0].partition(": ")
            self._diagnostics.add((*place, key), text)


def _is_within(inner: Place, outer: Place) -> bool:
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def _overridden(below: Any, above: Any) -> Any:
    """Return `above`; of two mappings, their keys together. A secret above replaces the file of it
    below, and the other way round.
    """
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    replaced = {f"{key}_file" for key in above} | {key.removesuffix("_file") for key in above}
    kept = {key: value for key, value in below.items() if key not in replaced - above.keys()}
    return {**kept, **{key: _overridden(below.get(key), value) for key, value in above.items()}}


def _fields_at(model: type[BaseModel], place: Sequence[int | str]) -> Iterable[str]:
    """Return the keys of the mapping at `place` within `model`."""
    for key in place:
        annotation = model.model_fields[str(key)].annotation if key in model.model_fields else None
        kinds = (annotation, *get_args(annotation))
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if not inner:
            return ()
        model = inner[0]
    return model.model_fields
