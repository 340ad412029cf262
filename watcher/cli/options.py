"""Options and small steps that several commands share."""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from watcher.cli.terminal import say
from watcher.core.errors import ConfigurationError, DaemonError
from watcher.core.texts import visible

if TYPE_CHECKING:
    from watcher.cli.address import Address
    from watcher.cli.client import Client
    from watcher.core.selectors import Mistake
    from watcher.core.settings import Settings

_CONFIG = "watcher.config"

Result = TypeVar("Result")
Command = TypeVar("Command", bound=Callable[..., Any])

config_option = click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    help="Configuration file.  [default: WATCHER_CONFIG, else /etc/watcher/watcher.yaml]",
)
label_option = click.option(
    "--label", "labels", multiple=True, metavar="K=V", help="Label of the task; repeatable."
)
source_option = click.option(
    "--source", help="Name of the source.  [default: the first one configured]"
)
watch_source_option = click.option(
    "--source", help="Source of the task; required if several have this ID."
)
yes_option = click.option(
    "--yes", is_flag=True, help="Skip the confirmation prompt; required without a terminal."
)
dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Only print how many deliveries this concerns."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
stdin_option = click.option(
    "--stdin", is_flag=True, help="Read IDs from standard input, one per line."
)


def limit_option(default: int = 0) -> Callable[[Command], Command]:
    """Return `--limit`, where 0 means all."""
    return click.option(
        "--limit",
        type=click.IntRange(min=0),
        default=default,
        show_default=str(default or "all"),
        help="Maximum number of items; 0 for all.",
    )


def url_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--url` and `--config`, by which `address_at` finds the daemon."""
    command = click.option(
        "--url",
        envvar="WATCHER_URL",
        metavar="URL",
        help="URL of the daemon's API; unix:///PATH for a socket.  [default: WATCHER_URL, else "
        "from the configuration, else http://127.0.0.1:8080]",
    )(command)
    return click.option(
        "-c",
        "--config",
        type=click.Path(path_type=Path),
        expose_value=False,
        callback=lambda context, _, value: context.meta.setdefault(_CONFIG, value),
        help="Configuration file to find the daemon by.  [default: WATCHER_CONFIG, else "
        "/etc/watcher/watcher.yaml]",
    )(command)


def config_of_context() -> Path | None:
    """Return the file that `--config` of a command with `url_option` names."""
    path: Path | None = click.get_current_context().meta.get(_CONFIG)
    return path


def address_at(url: str | None) -> "Address":
    """Return the address of the daemon that the options name."""
    from watcher.cli import address

    return address.of_environment(url, config_of_context())


def client_at(url: str | None) -> "Client":
    """Return a client of the daemon, which is closed when the command ends."""
    from watcher.cli.client import Client

    return click.get_current_context().with_resource(Client(address_at(url)))


def of_daemon(url: str | None, call: "Callable[[Client], Result]") -> "Result | None":
    """Return what `call` returns of the running daemon; None if none can be reached, or if the
    configuration does not say where it listens.
    """
    try:
        return call(client_at(url))
    except ConfigurationError:
        if url is not None:
            raise
    except DaemonError as error:
        if error.status is not None:
            raise
    return None


def labels_of(texts: Sequence[str]) -> dict[str, str]:
    """Return the labels of all `--label K=V` options."""
    labels = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.UsageError(f"invalid --label {text!r}; expected K=V")
        labels[name] = value
    return labels


def check_statuses(statuses: Sequence[str], known: Callable[[], Iterable[str]]) -> None:
    """Check what `--status` selects: a typing error is a usage error, another unknown status is
    named on standard error.

    `known` returns further statuses that exist; it is called only if there is a doubt.
    """
    from watcher.core.selectors import mistake_in_status

    for status in statuses:
        if mistake_in_status(status) is not None:
            report_mistake("--status", mistake_in_status(status, known()))


def report_mistake(option: str, mistake: "Mistake | None") -> None:
    """Raise a usage error for a fatal mistake in an option; print another one."""
    if mistake is None:
        return
    if mistake.fatal:
        raise click.UsageError(f"{option}: {mistake.text}")
    say(f"watcher: warning: {option}: {mistake.text}", err=True)


def confirm(question: str, yes: bool) -> None:
    """Prompt on a terminal; abort if the answer is no.

    Raises `UsageError` without a terminal: a script has to be explicit.
    """
    if yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise click.UsageError("there is no terminal for a confirmation; set --yes")
    click.confirm(visible(question), abort=True)


def load_settings(config: Path | None) -> "Settings":
    """Return the settings of the option, or of the default file."""
    from watcher.configuration import defaults, loader

    return loader.load(defaults.find_file(config, os.environ), os.environ)


def duration(text: str | None) -> float | None:
    """Return the seconds of an option such as 90s; a usage error if it is invalid."""
    from watcher.core.setting_types import parse_duration

    return None if text is None else _parsed(parse_duration, text)


def moment(text: str) -> str:
    """Return an RFC 3339 time: `text` itself, or the time that long ago; a usage error if it is
    neither.
    """
    from watcher.core.clock import parse_rfc3339, rfc3339, wall_clock
    from watcher.core.setting_types import parse_duration

    try:
        parse_rfc3339(text)
    except (ValueError, OverflowError):
        pass
    else:
        return text
    try:
        return rfc3339(wall_clock() - parse_duration(text))
    except (ValueError, OverflowError, OSError):
        raise click.UsageError(
            f"invalid time {text!r}; expected RFC 3339, such as 2026-11-23T07:00:00Z, or how long "
            "ago, such as 2h"
        ) from None


def _parsed(parse: Callable[[Any], float], text: str) -> float:
    try:
        return parse(text)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
