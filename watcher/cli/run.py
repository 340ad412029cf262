"""`watcher run`, `healthcheck` and `demo`."""

import os
import sys
from pathlib import Path

import click

from watcher.cli.options import config_option
from watcher.cli.terminal import say
from watcher.core.errors import ConfigurationError


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

    Exits 0 if it is, otherwise 1 with the reason. Of the configuration, it reads only where the
    daemon listens; a configuration file that does not exist is an error.
    """
    # `__main__` has run it already, unless that takes more than a URL without TLS.
    from watcher.cli import address, health

    try:
        if url is None:
            probes = health.probes_of(config, os.environ)
        else:
            found = address.given(url, None, os.environ)
            probes = [health.Probe(found.url, found.socket, found.encryption)]
    except OSError as error:
        raise ConfigurationError([f"cannot read {config}: {error.strerror}"]) from None
    except health.UnknownPortError:
        raise ConfigurationError(
            ["the configured port is 0, so the actual one is unknown: set --url"]
        ) from None
    result = health.check(probes)
    say(f"{result.url}: {'ok' if result.good else 'failed'}: {result.text}")
    sys.exit(0 if result.good else 1)


@click.command()
@click.option(
    "--serve",
    "serves",
    is_flag=True,
    help="Print the address of the live page, and continue with new tasks until Ctrl-C.",
)
def demo(serves: bool) -> None:
    """Run a demo with simulated tasks.

    Needs no API key, no configuration and no network.
    """
    from watcher.cli.demo.runner import run_demo

    sys.exit(run_demo(serves=serves))


COMMANDS = (run, healthcheck, demo)
