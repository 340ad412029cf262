"""Environment variables: `WATCHER_<SECTION>__<KEY>`, and shortcuts for a daemon without a file."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import BaseModel, create_model
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource

from watcher.configuration.diagnostics import PREFIX, Diagnostics, dotted, nearest, variable_for
from watcher.configuration.fields import is_collection, keys_at, section_at
from watcher.configuration.placeholders import is_placeholder, placeholder_in
from watcher.configuration.yaml_document import DEEPEST, Place
from watcher.core.secret_texts import without_blanks
from watcher.core.signing import split_secrets

API_TOKEN = "WATCHER_API_TOKEN"  # noqa: S105  # the name of a variable
"""The API's token, for the daemon and for the commands that call it."""
_SECRETS = "WATCHER_WEBHOOK_SECRETS"
SHORTCUTS = ("WATCHER_WEBHOOK_URL", _SECRETS, "WATCHER_SLACK_URL")
"""Variables that make channels of their own."""


class _Variables(EnvSettingsSource):
    """Nests the values of variables like the file: `WATCHER_SERVER__TLS__KEY_FILE` is a key of
    `tls`, which is one of `server`. Lists and maps may be given as JSON.
    """

    def __init__(self, shape: type[BaseSettings], texts: Mapping[str, str]) -> None:
        self._texts = texts
        super().__init__(shape, env_prefix=PREFIX, env_nested_delimiter="__")

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): text for name, text in self._texts.items()}

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """Return decoded JSON; a text that is none is for validation to judge."""
        return json.loads(value) if value.startswith(("{", "[")) else value


def _shape(sections: Mapping[str, type[BaseModel]], lists: Collection[str]) -> type[BaseSettings]:
    fields: dict[str, Any] = {name: (model, None) for name, model in sections.items()}
    fields |= dict.fromkeys(lists, (list[Any], None))
    return create_model("_Shape", __base__=BaseSettings, **fields)


def read_variables(
    environ: Mapping[str, str],
    diagnostics: Diagnostics,
    *,
    sections: Mapping[str, type[BaseModel]],
    lists: Collection[str],
) -> dict[str, Any]:
    """Return the values of all variables, nested like the file."""
    texts: dict[str, str] = {}
    plain: set[Place] = set()
    for variable, given in sorted(environ.items()):
        place = _place_of(variable, sections, lists, diagnostics)
        text = None if place is None else text_of(variable, given, diagnostics)
        if place is None or text is None:
            continue
        if place[0] in lists:
            value = _list(variable, place, text, diagnostics)
        else:
            value = _value(variable, place, text, sections[str(place[0])], diagnostics)
        if value is None:
            continue
        if place[:-1] in plain:
            diagnostics.add_line(f"{variable}: {dotted(place[:-1])} is set by another variable")
            continue
        if not isinstance(value, dict):
            plain.add(place)
        texts[variable] = text
        diagnostics.name(variable, place, value)
    values = _Variables(_shape(sections, lists), texts)()
    _put_token(values, environ, diagnostics)
    return values


def _place_of(
    variable: str, sections: Collection[str], lists: Collection[str], diagnostics: Diagnostics
) -> Place | None:
    """Return the place in the file that a variable sets; None if it sets none."""
    section, separator, rest = variable.removeprefix(PREFIX).lower().partition("__")
    # Kubernetes injects WATCHER_PORT and others for a service named watcher, so only a list may
    # come without `__`.
    if not variable.startswith(PREFIX) or not (separator or section in lists):
        return None
    if section not in sections and section not in lists:
        suggestion = nearest(section, [*sections, *lists])
        diagnostics.add_line(f"{variable}: unknown section {section!r}{suggestion}")
        return None
    return (section, *rest.split("__")) if separator else (section,)


def text_of(variable: str, text: str, diagnostics: Diagnostics) -> str | None:
    """Return the value of a variable; None, with the error collected, if it cannot be one."""
    value = without_blanks(text)
    if is_placeholder(value):
        diagnostics.add_line(
            f"{variable}: nothing has replaced the placeholder {placeholder_in(value)}"
        )
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        diagnostics.add_line(f"{variable}: not valid UTF-8")
        return None
    return value


def _list(variable: str, place: Place, text: str, diagnostics: Diagnostics) -> Any:
    whole = variable.partition("__")[0]
    if len(place) > 1:
        diagnostics.add_line(
            f"{variable}: a variable sets no key within a list; give the whole list as JSON in "
            f"{whole}, or the key in the file (x_file for a secret)"
        )
        return None
    return _decoded(variable, text, "a whole list is given as JSON", diagnostics)


def _value(
    variable: str,
    place: Place,
    text: str,
    model: type[BaseModel],
    diagnostics: Diagnostics,
) -> Any:
    """Return the value of a key of a section; None, with the error collected, if it has none."""
    *outer, last = map(str, place[1:])
    for depth, key in enumerate(outer, 2):
        inner = section_at(model, key)
        if inner is None and is_collection(model, key):
            whole = place[:depth]
            diagnostics.add_line(
                f"{variable}: a variable sets no key within {dotted(whole)}; give all of it as "
                f"JSON in {variable_for(whole)}"
            )
            return None
        if inner is None:
            if key in keys_at(model, ()):
                diagnostics.add_line(f"{variable}: {dotted(place[:depth])} has no keys")
                return None
            return text  # an unknown key, which validation finds
        model = inner
    has_members = is_collection(model, last) or section_at(model, last) is not None
    if has_members and text.startswith(("{", "[")):
        return _decoded(variable, text, f"{dotted(place)} is given as JSON", diagnostics)
    return text


def _decoded(variable: str, text: str, rule: str, diagnostics: Diagnostics) -> Any:
    try:
        value = json.loads(text, object_pairs_hook=_unique)
        json.dumps(value, ensure_ascii=False).encode()  # fails for half a surrogate pair
        if _depth(value) > DEEPEST:
            raise ValueError("nested too deeply")
    except (ValueError, RecursionError):
        diagnostics.add_line(f"{variable}: invalid JSON; {rule}")
        return None
    return value


def _depth(value: Any) -> int:
    if not isinstance(value, list | dict):
        return 0
    members = value.values() if isinstance(value, dict) else value
    return 1 + max(map(_depth, members), default=0)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("duplicate key")
    return values


def _put_token(
    values: dict[str, Any], environ: Mapping[str, str], diagnostics: Diagnostics
) -> None:
    if API_TOKEN not in environ:
        return
    token = text_of(API_TOKEN, environ[API_TOKEN], diagnostics)
    if token is None:
        return
    server = values.setdefault("server", {})
    if not {"api_token", "api_token_file"} & server.keys():
        server["api_token"] = token
        diagnostics.name(API_TOKEN, ("server", "api_token"), token)
    elif not token:
        diagnostics.add_line(f"{API_TOKEN}: must not be empty")


def shortcut_channels(environ: Mapping[str, str], diagnostics: Diagnostics) -> list[Any]:
    """Return the channels of a daemon without configured ones, from `WATCHER_WEBHOOK_URL` and
    others.
    """
    given = [name for name in SHORTCUTS if name in environ]
    values = {name: text_of(name, environ[name], diagnostics) for name in given}
    if values.get(_SECRETS) == "":
        diagnostics.add_line(f"{_SECRETS}: must not be empty")
    elif "WATCHER_WEBHOOK_URL" in values and _SECRETS not in values:
        diagnostics.add_line(f"{_SECRETS}: missing; a webhook needs whsec_…")
    channels: list[Any] = []
    for name, kind in (("WATCHER_WEBHOOK_URL", "webhook"), ("WATCHER_SLACK_URL", "slack")):
        if (url := values.get(name)) is None or (kind == "webhook" and not values.get(_SECRETS)):
            continue
        place = ("channels", len(channels))
        channels.append({"name": kind, "type": kind, "url": url})
        diagnostics.name(name, place, url)
        if kind == "webhook":
            channels[-1]["secrets"] = split_secrets(values[_SECRETS] or "")
            diagnostics.name(_SECRETS, (*place, "secrets"), "")
    return channels


def reject_shortcuts(environ: Mapping[str, str], diagnostics: Diagnostics) -> None:
    """Add an error if a variable makes a channel beside `channels`, which would be ignored."""
    if given := [name for name in SHORTCUTS if name in environ]:
        diagnostics.add(
            ("channels",),
            f"cannot be combined with {', '.join(given)}, which makes channels of its own; remove "
            "one of the two",
        )
