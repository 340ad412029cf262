"""Environment variables: `WATCHER_<SECTION>__<KEY>`, and shortcuts for a daemon without a file."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsError

from watcher.configuration.diagnostics import PREFIX, Diagnostics, nearest
from watcher.core.signing import split_secrets

API_TOKEN = "WATCHER_API_TOKEN"  # noqa: S105  # the name of a variable
"""The API's token, for the daemon and for the commands that call it."""


class _Shape(BaseSettings):
    """The sections as variables give them; their values are validated together with the file's."""

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
    """Reads variables from a mapping instead of the process's environment."""

    def __init__(self, environ: Mapping[str, str], lists: Iterable[str]) -> None:
        self._environ = environ
        self._lists = {PREFIX + name.upper() for name in lists}
        super().__init__(_Shape, env_prefix=PREFIX, env_nested_delimiter="__")

    def _load_env_vars(self) -> Mapping[str, str]:
        # Kubernetes injects WATCHER_PORT and others for a service named watcher, so only a list may
        # come without `__`.
        return {
            name.lower(): value
            for name, value in self._environ.items()
            if name in self._lists or (name.startswith(PREFIX) and "__" in name)
        }


def read_variables(
    environ: Mapping[str, str],
    diagnostics: Diagnostics,
    *,
    sections: Iterable[str],
    lists: Iterable[str],
) -> dict[str, Any]:
    """Return the values of all variables, nested like the file."""
    known = [*sections, *lists]
    for name in environ:
        section, separator, _ = name.removeprefix(PREFIX).partition("__")
        if separator and name.startswith(PREFIX) and section.lower() not in known:
            suggestion = nearest(section.lower(), known)
            diagnostics.add_line(f"{name}: unknown section {section.lower()!r}{suggestion}")
    try:
        values = _Variables(environ, lists)()
    except SettingsError as error:
        field = re.search(r'field "(\w+)"', str(error))
        variable = f"{PREFIX}{field[1].upper()}" if field else "the environment"
        diagnostics.add_line(f"{variable}: invalid JSON; a whole section is given as JSON")
        return {}
    if token := environ.get(API_TOKEN):
        server = values.setdefault("server", {})
        if not {"api_token", "api_token_file"} & server.keys():
            server["api_token"] = token
            diagnostics.variables["server", "api_token"] = API_TOKEN
    return values


def shortcut_channels(environ: Mapping[str, str], diagnostics: Diagnostics) -> list[Any]:
    """Return the channels of a daemon without configured ones, from `WATCHER_WEBHOOK_URL` and
    others.
    """
    channels: list[Any] = []
    if url := environ.get("WATCHER_WEBHOOK_URL"):
        secrets = split_secrets(environ.get("WATCHER_WEBHOOK_SECRETS", ""))
        if not secrets:
            diagnostics.add_line("WATCHER_WEBHOOK_SECRETS: missing; a webhook needs whsec_…")
            return []
        channels.append({"name": "webhook", "type": "webhook", "url": url, "secrets": secrets})
    if url := environ.get("WATCHER_SLACK_URL"):
        channels.append({"name": "slack", "type": "slack", "url": url})
    return channels
