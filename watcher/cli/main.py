"""The verbs, each a few lines. What costs time to import is imported by the verb that needs it."""

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from watcher import __version__
from watcher.cli.options import (
    ask_first,
    client_at,
    config_option,
    json_option,
    label_option,
    labels_of,
    token,
    url_option,
    yes_option,
)
from watcher.cli.routes import routes
from watcher.cli.signing import VERBS as SIGNING_VERBS
from watcher.cli.upstream import VERBS as UPSTREAM_VERBS
from watcher.core.errors import ConfigurationError, DaemonError, StoreUnusableError, WatcherError

if TYPE_CHECKING:
    from watcher.cli.checks import Verdict
    from watcher.core.settings import Settings

NO_DAEMON = 4
USAGE = 2

_WATCH_COLUMNS = ("task_id", "status", "state", "task_type", "changed", "labels")
_CHANNEL_COLUMNS = ("name", "type", "state", "since", "reason", "pending", "failed")
_DELIVERY_COLUMNS = (
    "id",
    "channel",
    "type",
    "task_id",
    "state",
    "attempts",
    "last_error",
    "created",
)

source_option = click.option("--source", help="The source; default the first one configured.")


def main() -> None:
    """Run the command line; the console script."""
    # The first process of a container is ended by no signal that it does not handle.
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
        # Whoever read us has seen enough; python would complain once more at exit.
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
    """Watch asynchronous tasks, and tell every status change as a signed webhook or a Slack message."""


@cli.command()
@config_option
def run(config: Path | None) -> None:
    """Run the daemon."""
    # Until the daemon obeys signals itself there is nothing to finish.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    from watcher.daemon import process

    process.run(config, os.environ)


@cli.command()
@config_option
@click.option(
    "--url", envvar="WATCHER_URL", help="Where the daemon is; default what the configuration says."
)
def healthcheck(config: Path | None, url: str | None) -> None:
    """Ask the daemon on this machine whether it is alive: exit 0, or 1 and why not."""
    from watcher.cli import checks

    _report([checks.check_health(url or checks.health_url(_load(config)))])


@cli.command()
def demo() -> None:
    """Show the main job on made-up tasks: no key, no file, no network needed."""
    from watcher.cli.demo.runner import show

    sys.exit(show())


# The watchlist of a running daemon


@cli.command()
@click.argument("task_ids", nargs=-1, metavar="ID…")
@source_option
@click.option("--namespace", help="Told with every event of these tasks.")
@label_option
@click.option("--stdin", is_flag=True, help="Read IDs from standard input, one a line.")
@url_option
@json_option
def add(
    task_ids: Sequence[str],
    source: str | None,
    namespace: str | None,
    labels: Sequence[str],
    stdin: bool,
    url: str,
    as_json: bool,
) -> None:
    """Put tasks on the watchlist."""
    from watcher.cli.terminal import print_json

    entries = _entries([*task_ids, *(_lines() if stdin else ())], source, namespace, labels)
    added = existing = 0
    items: list[Any] = []
    for answer in client_at(url).add(entries):
        added += answer["added"]
        existing += answer["existing"]
        items += answer["items"]
        if len(entries) > len(answer["items"]) and sys.stderr.isatty():
            click.echo(f"\r{len(items)} of {len(entries)}", err=True, nl=len(items) == len(entries))
    if as_json:
        print_json(items)
    else:
        click.echo(f"{added} added, {existing} already watched")


@cli.command("ls")
@click.option("--status", "statuses", multiple=True, metavar="S", help="May be repeated.")
@click.option("--state", type=click.Choice(["active", "done"]))
@label_option
@url_option
@json_option
def list_watches(
    statuses: Sequence[str], state: str | None, labels: Sequence[str], url: str, as_json: bool
) -> None:
    """List the watchlist."""
    from watcher.cli.terminal import ago, print_json, print_table

    wanted = [f"{name}:{value}" for name, value in labels_of(labels).items()]
    items = [*client_at(url).watches(status=list(statuses), state=state, label=wanted)]
    if as_json:
        print_json(items)
    else:
        print_table(
            _WATCH_COLUMNS, [{**item, "changed": ago(item["changed_at"])} for item in items]
        )


@cli.command()
@click.argument("task_id", metavar="ID")
@source_option
@url_option
@json_option
def show(task_id: str, source: str | None, url: str, as_json: bool) -> None:
    """Show one task with its transitions."""
    from watcher.cli.terminal import plain, print_json, print_table

    watch = client_at(url).watch(task_id, source)
    if as_json:
        print_json(watch)
        return
    transitions = watch.pop("transitions")
    for name, value in watch.items():
        click.echo(f"{name + ':':<15} {plain(value)}")
    if transitions:
        click.echo()
        print_table(("sequence", "previous_status", "status", "at", "event_id"), transitions)


@cli.command("rm")
@click.argument("task_ids", nargs=-1, required=True, metavar="ID…")
@source_option
@url_option
def remove(task_ids: Sequence[str], source: str | None, url: str) -> None:
    """Take tasks off the watchlist; what is on its way to a channel still goes."""
    client = client_at(url)
    for task_id in task_ids:
        client.remove(task_id, source)
    click.echo(f"{len(task_ids)} removed")


@cli.command()
@click.argument("task_ids", nargs=-1, required=True, metavar="ID…")
@click.option("--timeout", metavar="D", help="Give up after this long, such as 90s or 2h.")
@source_option
@click.option("--namespace", help="Told with every event of tasks that are not watched yet.")
@label_option
@url_option
@json_option
def wait(
    task_ids: Sequence[str],
    timeout: str | None,
    source: str | None,
    namespace: str | None,
    labels: Sequence[str],
    url: str,
    as_json: bool,
) -> None:
    """Block until all tasks are finished.

    Exit, worst first: 1 any FAILED, CANCELED or lost; 124 timed out; 3 any COMPLETED_WITH_ERRORS; 0 the rest; 4 no
    daemon, or it refused.
    """
    import anyio

    from watcher.cli.progress import Progress
    from watcher.cli.terminal import print_json, print_table
    from watcher.cli.wait import Waiting

    entries = _entries(task_ids, source, namespace, labels)
    limit = _duration(timeout)

    async def until_finished() -> Waiting:
        with Progress(len(entries)) as progress:
            waiting = Waiting(url=url, token=token(), entries=entries, told=progress.told)
            await waiting.run(limit)
        return waiting

    tally = anyio.run(until_finished).tally
    items = [{"task_id": task_id, "status": status} for task_id, status in tally.statuses.items()]
    if as_json:
        print_json(items)
    else:
        print_table(("task_id", "status"), items)
    if tally.waiting:
        click.echo(f"watcher: timed out; {len(tally.waiting)} not finished", err=True)
    sys.exit(tally.exit_code())


# The outbox of a running daemon


@cli.command()
@click.option("--state", type=click.Choice(["pending", "delivered", "failed"]))
@click.option("--channel", help="Only those of this channel.")
@url_option
@json_option
def deliveries(state: str | None, channel: str | None, url: str, as_json: bool) -> None:
    """List deliveries."""
    from watcher.cli.terminal import ago, print_json, print_table

    items = list(client_at(url).deliveries(state=state, channel=channel))
    if as_json:
        print_json(items)
    else:
        print_table(
            _DELIVERY_COLUMNS, [{**item, "created": ago(item["created_at"])} for item in items]
        )


@cli.command()
@click.argument("delivery_id", type=int, metavar="ID")
@url_option
@json_option
def attempts(delivery_id: int, url: str, as_json: bool) -> None:
    """Show a delivery's attempts: when, for how long, and what the receiver said."""
    from watcher.cli.terminal import print_json, print_table

    history = client_at(url).delivery(delivery_id)["history"]
    if as_json:
        print_json(history)
    else:
        print_table(("number", "at", "duration", "status", "error", "answer"), history)


@cli.command()
@click.argument("delivery_ids", nargs=-1, required=True, type=int, metavar="ID…")
@url_option
def retry(delivery_ids: Sequence[int], url: str) -> None:
    """Send deliveries once more, now."""
    client = client_at(url)
    for delivery_id in delivery_ids:
        client.retry(delivery_id)
    click.echo(f"{len(delivery_ids)} queued")


@cli.command()
@click.option("--channel", required=True, help="The channel that hears them again.")
@click.option("--since", required=True, metavar="T", help="An RFC 3339 time, or how long ago: 2h.")
@click.option("--until", metavar="T", help="The same; default now.")
@click.option(
    "--status",
    "statuses",
    multiple=True,
    metavar="S",
    help="Only tasks that came to it; may be repeated.",
)
@click.option(
    "--task", "task_ids", multiple=True, metavar="ID", help="Only this task; may be repeated."
)
@url_option
def replay(
    channel: str,
    since: str,
    until: str | None,
    statuses: Sequence[str],
    task_ids: Sequence[str],
    url: str,
) -> None:
    """Send a channel the events of a span of time once more, each under its old webhook-id."""
    chosen = {
        "since": _moment(since),
        "until": until and _moment(until),
        "statuses": statuses,
        "task_ids": task_ids,
    }
    click.echo(f"{client_at(url).replay(channel, **chosen)} queued")


@cli.command()
@click.option(
    "--channel", required=True, help="The channel; one that is not configured any more as well."
)
@click.option("--state", required=True, type=click.Choice(["pending", "delivered", "failed"]))
@click.option(
    "--before", metavar="T", help="Only of events before then: an RFC 3339 time, or how long ago."
)
@yes_option
@url_option
def purge(channel: str, state: str, before: str | None, yes: bool, url: str) -> None:
    """Remove deliveries for good; what was pending is never sent."""
    ask_first(f"Remove the {state} deliveries to {channel} for good?", yes)
    click.echo(
        f"{client_at(url).purge(channel, state=state, before=before and _moment(before))} removed"
    )


for verb in (*UPSTREAM_VERBS, *SIGNING_VERBS, routes):
    cli.add_command(verb)


# Without a daemon


@cli.group()
def channels() -> None:
    """Look at the channels, try them, hold them."""


@channels.command("ls")
@url_option
@json_option
def list_channels(url: str, as_json: bool) -> None:
    """List the channels of a running daemon: how they do, and what waits for each."""
    from watcher.cli.terminal import ago, print_json, print_table

    items = list(client_at(url).channels())
    if as_json:
        print_json(items)
    else:
        print_table(_CHANNEL_COLUMNS, [{**item, "since": ago(item["since"])} for item in items])


@channels.command()
@click.argument("name")
@click.option("--reason", help="Why, for whoever looks later.")
@url_option
def pause(name: str, reason: str | None, url: str) -> None:
    """Send nothing to a channel until it is resumed; its deliveries wait."""
    click.echo(f"paused; {client_at(url).pause(name, reason)['pending']} deliveries wait")


@channels.command()
@click.argument("name")
@url_option
def resume(name: str, url: str) -> None:
    """Send to a channel again that was paused, or that its receiver has stopped."""
    click.echo(f"resumed; {client_at(url).resume(name)['pending']} deliveries go now")


@channels.command("test")
@click.argument("names", nargs=-1, metavar="[NAME]…")
@config_option
def test_channels(names: Sequence[str], config: Path | None) -> None:
    """Send one marked message to each channel; exit 1 if any refuses."""
    from watcher.cli import checks

    known = {channel.name: channel for channel in _load(config).channels}
    if unknown := [name for name in names if name not in known]:
        raise click.UsageError(
            f"no channel is called {', '.join(unknown)}; known: {', '.join(known) or 'none'}"
        )
    if not known:
        raise click.UsageError("the configuration has no channel")
    _report(checks.test_channels([known[name] for name in names or known]))


@cli.group("config")
def config_group() -> None:
    """Check, show and describe the configuration."""


@config_group.command("check")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--live", is_flag=True, help="Also ask each source for a task that cannot exist.")
@config_option
def check_config(file: Path | None, live: bool, config: Path | None) -> None:
    """Say what is wrong with a file, and where."""
    from watcher.cli.checks import check_sources
    from watcher.configuration import checks

    settings = _load(file or config)
    for warning in checks.warnings(settings):
        click.echo(f"watcher: warning: {warning}", err=True)
    counts = (f"{len(items)} {name}" for name, items in _parts(settings).items())
    click.echo(f"ok: {', '.join(counts)}")
    if live:
        _report(check_sources(settings.sources))


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
    """Print the settings in force, secrets masked."""
    import yaml

    from watcher.cli.terminal import print_json
    from watcher.configuration import secrets

    shown = secrets.masked(_load(config))
    if as_json:
        print_json(shown)
    else:
        click.echo(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True), nl=False)


def _load(config: Path | None) -> "Settings":
    from watcher.configuration import defaults, loader

    return loader.load(defaults.find_file(config, os.environ), os.environ)


def _parts(settings: "Settings") -> Mapping[str, Sequence[object]]:
    return {"sources": settings.sources, "channels": settings.channels, "routes": settings.routes}


def _report(verdicts: Sequence["Verdict"]) -> None:
    for verdict in verdicts:
        mark = click.style("ok", fg="green") if verdict.good else click.style("refused", fg="red")
        click.echo(f"{verdict.name}: {mark}: {verdict.text}")
    if not all(verdict.good for verdict in verdicts):
        sys.exit(1)


def _lines() -> list[str]:
    return [line.strip() for line in sys.stdin if line.strip()]


def _entries(
    task_ids: Sequence[str], source: str | None, namespace: str | None, labels: Sequence[str]
) -> list[dict[str, Any]]:
    if not task_ids:
        raise click.UsageError("name at least one task ID, or give them with --stdin")
    common = {"source": source, "namespace": namespace, "labels": labels_of(labels)}
    given = {name: value for name, value in common.items() if value}
    return [{"task_id": task_id, **given} for task_id in dict.fromkeys(task_ids)]


def _duration(text: str | None) -> float | None:
    from watcher.core.setting_types import parse_duration

    return None if text is None else _usage(parse_duration, text)


def _moment(text: str) -> str:
    """Return an RFC 3339 time: `text` itself, or as long ago as it says."""
    from watcher.core.clock import rfc3339, wall_clock
    from watcher.core.setting_types import parse_duration

    if "T" in text.upper() or ":" in text:
        return text
    return rfc3339(wall_clock() - _usage(parse_duration, text))


def _usage(parse: Callable[[Any], float], text: str) -> float:
    try:
        return parse(text)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
