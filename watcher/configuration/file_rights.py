"""Warnings of files that other users of the host can write or, if they hold secrets, read."""

import os
import shlex
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from watcher.configuration import plugins, secrets
from watcher.core.errors import StoreError
from watcher.core.file_rights import exposed_folder
from watcher.core.settings import ConnectionSettings, Settings

_SHORTEST_SECRET = 6
"""Characters; anything shorter may occur in a file by chance."""

IsReadOnly = Callable[[Path], bool]


def _is_read_only(path: Path) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def warnings(
    settings: Settings, file: Path | None, is_read_only: IsReadOnly = _is_read_only
) -> list[str]:
    """Return one line for each file that others can write, or read a secret from.

    `file` is the configuration's. What an orchestrator mounts for one container is left out: its
    modes name users that the container does not have.
    """
    public = _public_files(settings)
    wanted = {path: path not in public for path in sorted(settings.files)}
    if file is not None:
        wanted[file] = _holds_secret(file, settings)
    wanted |= dict.fromkeys(_store_files(settings), True)
    lines = [
        line
        for path, secret in wanted.items()
        if (line := _fault(path, secret, is_read_only)) is not None
    ]
    return lines + _folder_faults(wanted)


def _fault(path: Path, secret: bool, is_read_only: IsReadOnly) -> str | None:
    try:
        status = path.stat()
        if _is_mounted_by_kubernetes(path) or is_read_only(path):
            return None
    except OSError:
        return None  # it is reported where it is read
    others = _rights(status.st_mode, secret)
    group = _rights(status.st_mode >> 3, secret)
    # A file of root that a group may read is meant for it: the watcher's.
    if group == "read" and status.st_uid == 0 and status.st_gid != 0:
        group = ""
    if not others and not group:
        return None
    who, what = ("every user of this host", others) if others else ("its group", group)
    keep = "600" if secret else "644"
    return f"{path}: {who} can {what} it; change that with `chmod {keep} {shlex.quote(str(path))}`"


def _rights(mode: int, secret: bool) -> str:
    """Return what the last three bits of `mode` allow that they should not."""
    write = "write" if mode & stat.S_IWOTH else ""
    read = "read" if mode & stat.S_IROTH and secret else ""
    return " and ".join(part for part in (read, write) if part)


def _is_mounted_by_kubernetes(path: Path) -> bool:
    # Its volumes have mode 0644 by default, and link `name` to `..data/name`, and `..data` to
    # `..2026_11_26_19_02_11.123456789`.
    return any(part.startswith("..") for part in Path(os.path.realpath(path)).parts)


def _folder_faults(files: Iterable[Path]) -> list[str]:
    folders = {one for file in files for one in (file.parent, Path(os.path.realpath(file)).parent)}
    exposed = set()
    for folder in folders:
        try:
            exposed.add(exposed_folder(folder))
        except OSError:
            continue
    return [
        f"{folder}: every user of this host can replace the files in it; "
        f"change that with `chmod o-w {shlex.quote(str(folder))}`"
        for folder in sorted(one for one in exposed if one is not None)
    ]


def _public_files(settings: Settings) -> set[Path]:
    """Return the files that hold certificates only."""
    public: set[Path | None] = set()
    for section in (*settings.sources, *settings.channels, settings.heartbeat):
        if isinstance(section, ConnectionSettings):
            public.add(section.ca_file)
            if section.client_key_file is not None:
                public.add(section.client_certificate_file)
    for listener in (settings.server, settings.telemetry):
        if listener is not None and (tls := listener.tls) is not None:
            public.add(tls.client_ca_file)
            if tls.certificate_file != tls.key_file:
                public.add(tls.certificate_file)
    return {path for path in public if path is not None}


def _holds_secret(file: Path, settings: Settings) -> bool:
    """Return whether a secret of the settings is in the configuration itself.

    The URL of a webhook is none: its requests are signed.
    """
    try:
        text = file.read_text(errors="replace")
    except OSError:
        return False
    webhooks = {
        url.get_secret_value()
        for channel in settings.channels
        if channel.type == "webhook" and (url := getattr(channel, "url", None)) is not None
    }
    found = {*secrets.secret_values(settings)} - webhooks
    return any(len(secret) >= _SHORTEST_SECRET and secret in text for secret in found)


def _store_files(settings: Settings) -> list[Path]:
    plugin = plugins.load_store(settings.store.url)
    files: Callable[[str], Iterable[Path]] = getattr(plugin, "files", lambda _: ())
    try:
        return [path for path in files(settings.store.url) if path.exists()]
    except (OSError, StoreError):
        return []  # it is reported where the store is opened
