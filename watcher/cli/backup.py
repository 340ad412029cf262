"""`watcher backup`."""

from pathlib import Path
from typing import Any

import click

from watcher.cli.options import config_option, load_settings
from watcher.cli.terminal import is_terminal, overwrite, say


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@config_option
def backup(file: Path, config: Path | None) -> None:
    """Copy the store to FILE, also while the daemon runs.

    FILE is replaced once the copy is complete and checked. docs/backup.md explains how to restore
    it.
    """
    from watcher.configuration import plugins
    from watcher.core.errors import StoreUnusableError

    url = load_settings(config).store.url
    copy: Any = getattr(plugins.load_store(url), "backup", None)
    if copy is None:
        kind = url.partition(":")[0]
        raise StoreUnusableError(f"a store of type {kind} is copied with the tools of its database")
    size = copy(url, file, _show_progress if is_terminal(err=True) else _show_nothing)
    say(f"copied {size / 1024**2:.1f} MiB to {file}")


def _show_progress(done: int, total: int) -> None:
    overwrite(f"copying: {100 * done // max(total, 1)} %", end=done == total)


def _show_nothing(done: int, total: int) -> None:
    """Elsewhere than on a terminal, only the result is printed."""


COMMANDS = (backup,)
