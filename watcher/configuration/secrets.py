"""Secrets of the settings: which fields hold one, reading them from files, and masking them."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretBytes, SecretStr

from watcher.configuration.diagnostics import Diagnostics
from watcher.configuration.fields import is_masked_in_part, secret_fields, secret_maps
from watcher.configuration.yaml_document import Place
from watcher.core.masking import SECRETS
from watcher.core.secret_parts import passwords_in
from watcher.core.secret_texts import beyond_ascii, without_blanks
from watcher.core.settings import Settings
from watcher.core.signing import split_secrets

FILE_LIMIT = 65536
"""Bytes of a secret file."""


def shown_path(path: object) -> str:
    """Return the path of a secret's file for a message; what is not absolute may be the secret."""
    text = str(path)
    return text if text.startswith("/") else "the file"


class SecretFiles:
    """Replaces each `x_file` by the secret `x` that the file holds, and each `{file: path}` in a
    map of secrets; `files` are those that it has tried to read.
    """

    def __init__(self, diagnostics: Diagnostics) -> None:
        self._diagnostics = diagnostics
        self.files: set[Path] = set()

    def resolve(
        self,
        model: type[BaseModel],
        values: dict[str, Any],
        place: Place,
        invalid: set[str],
    ) -> dict[str, Any]:
        """Return the values with the secrets of files, which are not read for `invalid` keys.

        Keys with an error are added to these.
        """
        for name, several in secret_fields(model).items():
            key = f"{name}_file"
            if name not in invalid:
                self._hide(model, name, values.get(name))
            if key not in values:
                continue
            file = values.pop(key)
            if name in values:
                self._diagnostics.add((*place, key), f"give either {name} or {key}, not both")
            elif name in invalid or (text := self._read(file, (*place, key))) is None:
                invalid.add(name)
            else:
                self._hide(model, name, text)
                values[name] = split_secrets(text) if several else text
        for name in secret_maps(model):
            if isinstance(secrets := values.get(name), dict) and name not in invalid:
                self._diagnostics.hide([one for one in secrets.values() if isinstance(one, str)])
                values[name] = self._resolved(secrets, (*place, name))
        return values

    def _hide(self, model: type[BaseModel], name: str, value: Any) -> None:
        shown = isinstance(value, str) and is_masked_in_part(model, name)
        self._diagnostics.hide(passwords_in(value) if shown else value)

    def _resolved(self, secrets: dict[Any, Any], place: Place) -> dict[str, Any]:
        """Return the secrets of a map; those with an error are left out."""
        resolved = {}
        for key, value in secrets.items():
            name, inner = str(key), (*place, str(key))
            if name.lower().endswith("_file"):
                self._diagnostics.add(
                    inner, f"unknown key; write {name[:-5] or 'NAME'}: {{file: PATH}}"
                )
            elif isinstance(value, dict):
                if (text := self._secret_of(value, inner)) is not None:
                    resolved[name] = text
            elif isinstance(value, str) and not value.strip():
                self._diagnostics.add(inner, "must not be empty")
            else:
                resolved[name] = value
        return resolved

    def _secret_of(self, value: dict[Any, Any], place: Place) -> str | None:
        if value.keys() != {"file"} or not isinstance(file := value["file"], str) or not file:
            self._diagnostics.add(place, "expected text, or {file: PATH}")
            return None
        text = self._read(file, (*place, "file"))
        if text is not None and (fault := beyond_ascii(text, spaces=True)):
            fault = f"{shown_path(file)} {fault}, which no header can carry"
            self._diagnostics.add((*place, "file"), fault)
            return None
        return text

    def _read(self, file: object, place: Place) -> str | None:
        if not isinstance(file, str) or not file or "\0" in file:
            self._diagnostics.add(place, "expected the path of a file")
            return None
        path, shown = Path(file), shown_path(file)
        self.files.add(path)
        try:
            with path.open("rb") as opened:
                content = opened.read(FILE_LIMIT + 1)
        except OSError as error:
            self._diagnostics.add(place, f"cannot read {shown}: {error.strerror}")
            return None
        except ValueError:
            self._diagnostics.add(place, "expected the path of a file")
            return None
        try:
            text = without_blanks(content.decode())
        except ValueError:
            self._diagnostics.add(place, f"cannot read {shown}: not valid UTF-8")
            return None
        if not text.strip() or len(content) > FILE_LIMIT:
            fault = f"larger than {FILE_LIMIT} bytes" if text else "empty"
            self._diagnostics.add(place, f"{shown} is {fault}")
            return None
        return text


def secret_values(value: Any) -> Iterator[str]:
    """Yield every secret of the settings, wherever it is: by its type, so none can be forgotten.

    URLs in plain settings count as well, as far as they contain a user and a password.
    """
    if isinstance(value, SecretStr | SecretBytes):
        secret = value.get_secret_value()
        yield secret if isinstance(secret, str) else secret.decode("utf-8", "replace")
    elif isinstance(value, str):
        yield from passwords_in(value)
    elif isinstance(value, BaseModel | Mapping | Collection):
        members = dict(value).values() if isinstance(value, BaseModel | Mapping) else value
        for member in members:
            yield from secret_values(member)


def mask_secrets(settings: Settings) -> None:
    """Mask every secret of the settings in whatever leaves this process, from now on."""
    sources, channels = settings.sources, settings.channels
    names = [source.name for source in sources] + [channel.name for channel in channels]
    SECRETS.add(secret_values(settings), public=names)
