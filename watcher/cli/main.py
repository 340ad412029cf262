"""The command line. Each command imports what is slow to import itself."""

import os
import signal
import sys

import click

from watcher import __version__
from watcher.cli import deliveries, run, signing, upstream, watches
from watcher.cli.channels import channels
from watcher.cli.config import config_group
from watcher.cli.routes import routes_group
from watcher.core.errors import ConfigurationError, DaemonError, StoreUnusableError, WatcherError

NO_DAEMON = 4
USAGE = 2


def main() -> None:
    """Run the command line; the console script."""
    # The first process of a container ignores signals without a handler.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        cli.main(prog_name="watcher", standalone_mode=False)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        click.echo(f"watcher: {error.format_message()}", err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:
        # The reader has closed the pipe; Python would report that again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except WatcherError as error:
        for line in error.problems if isinstance(error, ConfigurationError) else [str(error)]:
            click.echo(f"watcher: {line}", err=True)
        sys.exit(_exit_code(error))


def _exit_code(error: WatcherError) -> int:
    match error:
        case ConfigurationError() | StoreUnusableError():
            return USAGE
        case DaemonError():
            return NO_DAEMON
        case _:
            return 1


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="watcher")
def cli() -> None:
    """Watch asynchronous tasks, and notify on every status change."""


for command in (
    *run.COMMANDS,
    *watches.COMMANDS,
    *deliveries.COMMANDS,
    *upstream.COMMANDS,
    *signing.COMMANDS,
    channels,
    config_group,
    routes_group,
):
    cli.add_command(command)
