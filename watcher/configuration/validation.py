"""Validates the values of one section, plugin, route or rule, and collects what is wrong."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from watcher.configuration.diagnostics import Diagnostics, variable_for
from watcher.configuration.fields import keys_at, secret_fields, secret_maps
from watcher.configuration.placeholders import placeholders
from watcher.configuration.secrets import SecretFiles, shown_path
from watcher.configuration.sections import SECTIONS
from watcher.configuration.yaml_document import Place
from watcher.core.errors import ConfigurationError
from watcher.core.listener_settings import TlsSettings
from watcher.core.settings import ConnectionSettings

_HARMLESS = re.compile(r"[\w. +-]{0,12}|[A-Za-z_-]{0,20}")
"""What is too short for a secret, or a word."""


class Validator:
    """Makes settings of plain values; `files` are those of secrets and certificates."""

    def __init__(self, diagnostics: Diagnostics) -> None:
        self._diagnostics = diagnostics
        self._secret_files = SecretFiles(diagnostics)
        self._certificate_files: set[Path] = set()

    @property
    def files(self) -> frozenset[Path]:
        """The files that were read, or tried."""
        return frozenset(self._secret_files.files | self._certificate_files)

    def validated(
        self,
        model: type[BaseModel],
        item: Any,
        place: Place,
        variables: Mapping[str, str] | None = None,
        *,
        opens_files: bool = True,
    ) -> Any:
        """Return the validated settings; None, with the errors collected, if they are invalid.

        `variables` are those of the plugin, by key.
        """
        if not isinstance(item, dict):
            self._diagnostics.add(place, "expected a mapping of keys to values")
            self._diagnostics.hide(item)
            return None
        values = {str(key): value for key, value in item.items()}
        invalid = self._placeholders(model, values, place, variables or {})
        files = {
            name: values[f"{name}_file"]
            for name in secret_fields(model)
            if f"{name}_file" in values
        }
        values = self._secret_files.resolve(model, values, place, invalid)
        try:
            settings = model.model_validate(values)
        except ValidationError as error:
            errors = error.errors(include_url=False, include_context=False)
            for one in errors:
                if _adds_something(one, errors, invalid):
                    self._add_invalid(model, one, place, files, variables or {})
            return None
        if opens_files and not invalid:
            self._check_certificates(settings, place)
        return settings

    def _placeholders(
        self,
        model: type[BaseModel],
        values: Mapping[str, Any],
        place: Place,
        variables: Mapping[str, str],
    ) -> set[str]:
        """Add an error for each placeholder; return the keys that have one, also those of which
        the file has one.
        """
        found: set[str] = set()
        for at, form in placeholders(values, place):
            if self._diagnostics.variable_of(at) is None:
                key = str(at[len(place)])
                advice = _instead(model, at, key, variables)
                self._diagnostics.add(at, f"{form} is not replaced by anything; {advice}")
                found |= {key, key.removesuffix("_file")}
        return found

    def _add_invalid(
        self,
        model: type[BaseModel],
        error: ErrorDetails,
        place: Place,
        files: Mapping[str, Any],
        variables: Mapping[str, str],
    ) -> None:
        """Add an error of a value; `files` are those that secrets were read from."""
        self._diagnostics.hide([*_doubtful(error["input"])])
        kind, inner = error["type"], error["loc"]
        secrets, key = secret_fields(model), inner[-1] if inner else ""
        text = error["msg"].removeprefix("Value error, ")
        text = "at least one is required" if kind == "too_short" else text[:1].lower() + text[1:]
        if inner and (name := str(inner[0])) in files:
            if kind != "missing":  # a file that cannot be read has its error
                shown = shown_path(files[name])
                self._diagnostics.add((*place, f"{name}_file"), f"{shown}: {text}")
        elif kind == "extra_forbidden":
            self._diagnostics.add_unknown((*place, *inner), str(key), keys_at(model, inner[:-1]))
        elif kind == "missing" and key in secrets:
            ways = f"{key} or {key}_file"
            if key in variables:
                ways = f"{key}, {key}_file or the variable {variables[key]}"
            self._diagnostics.add(place, f"{key} is missing: set {ways}")
        else:
            cause = text.partition(" ")[0]
            known = not inner and cause in model.model_fields
            self._diagnostics.add((*place, *inner), text, key=cause if known else "")

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


def _doubtful(value: Any) -> Iterator[str]:
    """Yield the texts of a value that may be a secret in a wrong place: an error may quote it."""
    if isinstance(value, str) and not _HARMLESS.fullmatch(value):
        yield value
    elif isinstance(value, Mapping):
        for key, member in value.items():
            yield from _doubtful(str(key))
            yield from _doubtful(member)
    elif isinstance(value, list | tuple):
        for member in value:
            yield from _doubtful(member)


def _adds_something(
    error: ErrorDetails, errors: Sequence[ErrorDetails], invalid: Collection[str]
) -> bool:
    place = error["loc"]
    if invalid and (not place or place[0] in invalid):
        return False  # its value has an error already
    # A list whose only item is invalid counts as empty as well.
    return error["type"] != "too_short" or not any(
        len(other["loc"]) > len(place) and other["loc"][: len(place)] == place for other in errors
    )


def _instead(model: type[BaseModel], place: Place, key: str, variables: Mapping[str, str]) -> str:
    """Return what to write instead of a placeholder at `place`, in the value of `key`."""
    section = str(place[0])
    variable = variables.get(key)
    if section in SECTIONS and place[-1] == key:
        variable = variable_for(place)
    either = f", or set the variable {variable} instead" if variable else ""
    if key in secret_fields(model):
        return f"write {key}_file: PATH{either}"
    if key in secret_maps(model):
        return f"write {place[-1]}: {{file: PATH}}"
    whole = variable_for(place[:2] if section in SECTIONS else (section,))
    return f"write the value itself{either or f', or all of it as JSON in the variable {whole}'}"
