"""The command line. Each command imports what is slow to import itself."""

import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType

import click

from watcher import __version__
from watcher.cli import (
    backup,
    completion,
    deliveries,
    init,
    run,
    signing,
    status,
    streams,
    upstream,
    watches,
)
from watcher.cli.channels import channels
from watcher.cli.config import config_group
from watcher.cli.grouped import GroupedCommands
from watcher.cli.routes import routes_group
from watcher.cli.sources import sources
from watcher.cli.store import store_group
from watcher.cli.terminal import say, say_lines
from watcher.core.errors import ConfigurationError, DaemonError, StoreUnusableError, WatcherError
from watcher.core.masking import SECRETS

USAGE, NO_DAEMON, INTERRUPTED = 2, 4, 130


def main() -> None:
    """Run the command line; the console script."""
    sys.excepthook = _print_uncaught
    threading.excepthook = lambda seen: _print_uncaught(
        seen.exc_type, seen.exc_value, seen.exc_traceback
    )
    sys.unraisablehook = lambda seen: _print_uncaught(
        seen.exc_type, seen.exc_value, seen.exc_traceback
    )
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        # The first process of a container ignores signals without a handler.
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        sys.exit(execute(sys.argv[1:]))
    finally:
        if sys.argv[1:2] != ["run"]:
            # While the interpreter ends, an interrupt is nothing to report.
            signal.signal(signal.SIGINT, signal.SIG_DFL)


def execute(arguments: Sequence[str]) -> int:
    """Run one command; print its error, if any, and return its exit code.

    Raises `SystemExit` for commands that choose their exit code themselves.
    """
    with streams.guarded():
        return _executed(arguments)


def _executed(arguments: Sequence[str]) -> int:
    try:
        _run(arguments)
    except click.exceptions.NoArgsIsHelpError as error:
        say_lines(error.format_message(), err=True)  # help, not an error message
        return error.exit_code
    except click.ClickException as error:
        _print_errors(" ".join(error.format_message().split()))
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except WatcherError as error:
        _print_errors(*(error.problems if isinstance(error, ConfigurationError) else [str(error)]))
        return _exit_code(error)
    except UnicodeError:
        _print_errors("an argument or the input is not valid UTF-8")
        return USAGE
    except BrokenPipeError:  # its reader has gone, as `head` does: nothing to report
        streams.discard()
        return 1
    except OSError as error:
        _print_errors(_described(error))
        return 1
    return 0


def _run(arguments: Sequence[str]) -> None:
    try:
        cli.main([*arguments], prog_name="watcher", standalone_mode=False)
    except BaseExceptionGroup as group:  # of a command with several tasks
        raise _cause(group) from None


def _cause(group: BaseExceptionGroup) -> BaseException:
    """Return the error that ended the tasks of a group: one to report, else the group."""
    named = group.subgroup((OSError, WatcherError))
    error: BaseException = group if named is None else named
    while isinstance(error, BaseExceptionGroup) and named is not None:
        error = error.exceptions[0]
    return error


def _described(error: OSError) -> str:
    streams.discard()
    return f"{error.filename or 'cannot write the output'}: {error.strerror or error}"


def _print_errors(*lines: str) -> None:
    with suppress(OSError):  # nothing else can be written to
        for line in lines:
            say(f"watcher: {line}", err=True)


def _print_uncaught(
    kind: type[BaseException], error: BaseException | None, place: TracebackType | None
) -> None:
    """Print an exception that nothing caught, whatever its text contains."""
    if issubclass(kind, KeyboardInterrupt):
        os._exit(INTERRUPTED)  # raised where Python cannot pass it on, as in a finalizer
    lines = traceback.format_exception(kind, error, place)
    say_lines(SECRETS.text("".join(lines)).rstrip(), err=True)


def _exit_code(error: WatcherError) -> int:
    match error:
        case ConfigurationError() | StoreUnusableError():
            return USAGE
        case DaemonError():
            return NO_DAEMON
        case _:
            return 1


@click.group(
    cls=GroupedCommands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Commands for a running daemon read its URL from WATCHER_URL, and the API token from "
    "WATCHER_API_TOKEN.",
)
@click.version_option(__version__, prog_name="watcher")
def cli() -> None:
    """Watch asynchronous tasks, and notify on every status change."""


for command in (
    *init.COMMANDS,
    *run.COMMANDS,
    *watches.COMMANDS,
    *deliveries.COMMANDS,
    *upstream.COMMANDS,
    *signing.COMMANDS,
    *backup.COMMANDS,
    *status.COMMANDS,
    *completion.COMMANDS,
    channels,
    sources,
    config_group,
    routes_group,
    store_group,
):
    cli.add_command(command)
