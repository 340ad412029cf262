"""`watcher run`, `healthcheck` and `demo`."""

import os
import sys
from pathlib import Path

import click

from watcher.cli.options import config_option
from watcher.cli.terminal import print_verdicts


@click.command()
@config_option
def run(config: Path | None) -> None:
    """Run the daemon."""
    from watcher.daemon import process

    process.run(config, os.environ)


@click.command()
@config_option
@click.option(
    "--url",
    envvar="WATCHER_URL",
    help="URL of the daemon; unix:///PATH for a socket.  [default: WATCHER_URL, else from the "
    "configuration]",
)
def healthcheck(config: Path | None, url: str | None) -> None:
    """Check that the local daemon is alive.

    Exits 0 if it is, otherwise 1 with the reason.
    """
    from watcher.cli import checks

    print_verdicts([checks.check_health(checks.health_address(url, config, os.environ))])


@click.command()
def demo() -> None:
    """Run a demo with simulated tasks.

    Needs no API key, no configuration and no network.
    """
    from watcher.cli.demo.runner import run_demo

    sys.exit(run_demo())


COMMANDS = (run, healthcheck, demo)
