"""`watcher status`: one screen about a running daemon."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from watcher.cli.options import client_at, json_option, url_option

_SOURCES = (
    "source",
    "up",
    "reason",
    "since",
    "active",
    "requests",
    "budget",
    "behind",
    "last",
    "error",
)
_CHANNELS = ("channel", "state", "since", "pending", "oldest", "failed", "reason")
_RULES = ("rule", "source", "last_run", "found", "error")


@click.command()
@url_option
@json_option
def status(url: str, as_json: bool) -> None:
    """Show what runs, what waits, and what needs attention.

    Exits 1 if something needs attention.
    """
    from watcher.cli.terminal import print_json

    shown = client_at(url).status()
    if as_json:
        print_json(shown)
    else:
        _print(shown)
    if shown["attention"]:
        sys.exit(1)


def _print(shown: Mapping[str, Any]) -> None:
    from watcher.cli.tables import print_table
    from watcher.cli.terminal import ago, plain, say, span

    watches = shown["watches"]
    say(f"watcher {plain(shown['version'])}, up {span(shown['uptime_seconds'])}")
    if items := shown["attention"]:
        needs = "thing needs" if len(items) == 1 else "things need"
        say("")
        say(f"{len(items)} {needs} attention:")
        for item in items:
            since = f" ({ago(item['since'])})" if item["since"] else ""
            say(f"  {plain(item['text'])}{since}: {plain(item['command'])}")
    elif watches:
        say("All is well.")
    else:
        say("Nothing is watched yet: watcher add TASK_ID")
    say("")
    say(f"{plain(watches or None)}; {_per_minute(shown['transitions_per_minute'])}")
    say("")
    print_table(
        _SOURCES,
        [_source(source) for source in shown["sources"]],
        optional=("requests", "last", "error"),
    )
    if shown["channels"]:
        say("")
        print_table(_CHANNELS, [_channel(channel) for channel in shown["channels"]])
    if shown["discovery"]:
        say("")
        rules = [
            {
                **rule,
                "rule": rule["name"],
                "last_run": ago(rule["last_run_at"]),
                "found": _found(rule),
            }
            for rule in shown["discovery"]
        ]
        print_table(_RULES, rules)


def _found(rule: Mapping[str, Any]) -> str | None:
    from watcher.cli.terminal import ago

    if rule.get("last_found") is None:
        return None
    return f"{rule['last_found']} new, {ago(rule['last_found_at'])}"


def _per_minute(counts: Sequence[int]) -> str:
    last = counts[-1] if counts else 0
    return f"{sum(counts)} transitions in the last hour, {last} in this minute"


def _source(source: Mapping[str, Any]) -> dict[str, Any]:
    from watcher.cli.terminal import ago

    budgets = [left for left in source["budget_left"].values() if left is not None]
    return {
        "source": source["name"],
        "up": "up" if source["up"] else "down",
        "reason": source["reason"],
        "since": ago(source["since"]),
        "active": source["active_watches"],
        "requests": f"{source['requests_per_minute']}/min",
        "budget": int(min(budgets)) if budgets else None,
        "behind": f"{source['behind_seconds']:.0f}s",
        "last": ago(source["last_success_at"]),
        "error": None if source.get("last_error") is None else _error(source),
    }


def _error(source: Mapping[str, Any]) -> str:
    from watcher.cli.terminal import ago

    return f"{source['last_error']} ({ago(source['last_error_at'])})"


def _channel(channel: Mapping[str, Any]) -> dict[str, Any]:
    from watcher.cli.terminal import ago

    return {
        **channel,
        "channel": channel["name"],
        "since": ago(channel["since"]),
        "oldest": ago(channel["oldest_pending_at"]),
    }


COMMANDS = (status,)
