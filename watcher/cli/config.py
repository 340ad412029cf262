"""`watcher config`: check and show the configuration, and print its schema."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from watcher.cli.options import config_option, json_option, load_settings
from watcher.cli.terminal import print_results, print_yaml, say

if TYPE_CHECKING:
    from watcher.core.settings import Settings


@click.group("config")
def config_group() -> None:
    """Check and show the configuration."""


@config_group.command("check")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--live", is_flag=True, help="Also test the API key of each source.")
@config_option
def check_config(file: Path | None, live: bool, config: Path | None) -> None:
    """Check a configuration file.

    Prints every error with its line, and what each channel receives.
    """
    from watcher.cli.checks import check_sources
    from watcher.configuration import checks, defaults, file_rights
    from watcher.core.routing import received_by

    path = defaults.find_file(file or config, os.environ)
    settings = load_settings(path)
    for warning in (*checks.warnings(settings), *file_rights.warnings(settings, path)):
        say(f"watcher: warning: {warning}", err=True)
    counts = (_counted(len(items), name) for name, items in _parts(settings).items())
    say(f"ok: {', '.join(counts)}")
    for channel in settings.channels:
        routes = settings.effective_routes
        say(f"channel {channel.name} ({channel.type}): {received_by(channel.name, routes)}")
    if live:
        print_results(check_sources(settings.sources))


@config_group.command("schema")
def show_schema() -> None:
    """Print the JSON Schema of the file."""
    from watcher.cli.terminal import print_json
    from watcher.configuration import schema

    print_json(schema.schema())


@config_group.command("show")
@config_option
@json_option
def show_config(config: Path | None, as_json: bool) -> None:
    """Print the effective configuration.

    Secrets are masked.
    """
    from watcher.cli.terminal import print_json
    from watcher.core.masked_settings import masked

    shown = masked(load_settings(config))
    if as_json:
        print_json(shown)
    else:
        print_yaml(shown)


def _counted(count: int, names: str) -> str:
    return f"{count} {names.removesuffix('s') if count == 1 else names}"


def _parts(settings: "Settings") -> Mapping[str, Sequence[object]]:
    return {"sources": settings.sources, "channels": settings.channels, "routes": settings.routes}
