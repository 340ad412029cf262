"""`watcher init`: writes a configuration with its secrets."""

import base64
import json
import os
import secrets
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from watcher.cli.terminal import say
from watcher.core.errors import ConfigurationError

_PRIVATE = 0o600
_TEMPLATE = """\
# Configuration of the watcher. Check it with `watcher config check`; SIGHUP reloads it.
# Variables override any key: WATCHER_SERVER__PORT=9090. A secret `x` may be in a file: `x_file`.
# Durations are numbers of seconds, or text such as 500ms, 30s, 5m, 7d.

sources:
  - name: mixpeek
{base_url}
    # The key is MIXPEEK_API_KEY, unless it is in a file:
{api_key}
{namespace}
    requests_per_minute: 60         # per route, as upstream counts; null: no own limit

# Without rules, tasks are watched that `watcher add` or POST /v1/watches names.
{discovery}

channels:
{webhook}
{slack}

# Without routes, a webhook receives every event, and Slack what requires attention.
# routes:
#   - {{channels: [alerts], events: [task.failed, task.lost, "source.*", "channel.*"]}}

# store:
#   url: sqlite:////var/lib/watcher/watcher.db   # default; else a file in your home

server:
  host: 127.0.0.1                   # other users of this host can connect, but need the token
  port: 8080
  # socket: /run/watcher/api.sock   # instead of host and port: for its owner and group only
  api_token_file: {token}

# Metrics and probes for other machines, without a token:
# telemetry: {{host: 0.0.0.0, port: 9464}}
"""
_WEBHOOK = """\
  - name: backend
    type: webhook
    url: {url}
    secrets_file: {secret}"""
_SLACK = """\
  - name: alerts
    type: slack
    url_file: {url}"""
_WEBHOOK_URL = "https://backend.internal/hooks/tasks"
_DISCOVERY = """\
discovery:
  - {list: tasks, every: 60s}"""


@click.command()
@click.argument("file", default="watcher.yaml", type=click.Path(path_type=Path))
@click.option("--webhook-url", metavar="URL", help="Send every event to this URL, signed.")
@click.option(
    "--slack-url", metavar="URL", help="Send what requires attention to this Slack webhook."
)
@click.option(
    "--base-url", metavar="URL", help="URL of the Mixpeek API.  [default: MIXPEEK_BASE_URL]"
)
@click.option("--namespace", metavar="NAME", help="Namespace of the API, sent as X-Namespace.")
@click.option(
    "--api-key-file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="File with the API key.  [default: MIXPEEK_API_KEY]",
)
@click.option("--discover", is_flag=True, help="Watch every new task of the API.")
def init(
    file: Path,
    webhook_url: str | None,
    slack_url: str | None,
    base_url: str | None,
    namespace: str | None,
    api_key_file: Path | None,
    discover: bool,
) -> None:
    """Write a configuration.

    Creates FILE (default: watcher.yaml), and beside it a signing secret, an API token and the Slack
    URL, each in a file that only you can read. On a terminal it prompts for the two URLs if neither
    is set. Without --api-key-file, the daemon needs MIXPEEK_API_KEY.
    """
    if webhook_url is None and slack_url is None and sys.stdin and sys.stdin.isatty():
        webhook_url, slack_url = _prompted("your webhook"), _prompted("a Slack webhook")
    file = file.absolute()
    token, secret, slack = (
        file.with_name(f"{file.stem}-{name}")
        for name in ("api-token", "signing-secret", "slack-webhook")
    )
    contents = {
        secret: f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}\n",
        token: f"{secrets.token_urlsafe(32)}\n",
        **({} if slack_url is None else {slack: f"{slack_url}\n"}),
    }
    if existing := [str(one) for one in (file, *contents) if os.path.lexists(one)]:
        raise click.UsageError(f"{', '.join(existing)} exists; name another FILE")
    contents[file] = _TEMPLATE.format(
        base_url=_line("base_url", base_url, "https://api.mixpeek.com"),
        api_key=_line("api_key_file", _absolute(api_key_file), "/run/secrets/mixpeek-api-key"),
        namespace=_line("namespace", namespace, "production"),
        discovery=_section(discover, _DISCOVERY),
        webhook=_webhook(webhook_url, secret),
        slack=_slack(slack, active=slack_url is not None),
        token=json.dumps(str(token)),
    )
    _write(contents, file)
    _say_next(file, [one.name for one in contents if one != file], api_key_file is None)


def _prompted(of: str) -> str | None:
    """Return the URL of a receiver that the user of a terminal enters, if any."""
    from watcher.core.setting_types import http_url

    def checked(text: str) -> str:
        try:
            return http_url(text) if text else ""
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    question = f"URL of {of}, or nothing"
    return click.prompt(question, default="", show_default=False, value_proc=checked) or None


def _absolute(file: Path | None) -> str | None:
    return None if file is None else str(file.absolute())


def _line(name: str, value: str | None, example: str) -> str:
    """Return the line of a source's setting; a comment if it has no value. JSON is YAML, too."""
    if value is None:
        return f"    # {name}: {example}"
    return f"    {name}: {json.dumps(value)}"


def _webhook(url: str | None, secret: Path) -> str:
    shown = _WEBHOOK_URL if url is None else url
    channel = _WEBHOOK.format(url=json.dumps(shown), secret=json.dumps(str(secret)))
    return _section(url is not None, channel, indent=2)


def _slack(url_file: Path, *, active: bool) -> str:
    return _section(active, _SLACK.format(url=json.dumps(str(url_file))), indent=2)


def _section(active: bool, text: str, *, indent: int = 0) -> str:
    """Return lines as they are, or as a comment at a column."""
    if active:
        return text
    margin = " " * indent
    return "\n".join(f"{margin}# {line.removeprefix(margin)}" for line in text.splitlines())


def _say_next(file: Path, names: Sequence[str], needs_key: bool) -> None:
    """Print what was written, and the next three commands."""
    key = "set MIXPEEK_API_KEY, then" if needs_key else "next"
    say(f"wrote {file}, {', '.join(names[:-1])} and {names[-1]}; {key}:")
    say()
    name = shlex.quote(str(file))
    for command in ("config check --live", "run -c", "add TASK_ID -c"):
        say(f"  watcher {command} {name}")
    say()
    say(f"With WATCHER_CONFIG={name}, no command needs -c.")


def _write(contents: Mapping[Path, str], configuration: Path) -> None:
    """Create all files, or none if one cannot be written or the configuration is invalid."""
    from watcher.configuration import loader

    created: list[Path] = []
    try:
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            descriptor = os.open(path, flags, _PRIVATE)
            created.append(path)
            with os.fdopen(descriptor, "w") as file:
                file.write(content)
        loader.load(configuration, {"HOME": str(Path.home()), "MIXPEEK_API_KEY": "unknown"})
    except (OSError, ConfigurationError) as error:
        for path in created:
            path.unlink(missing_ok=True)
        if isinstance(error, ConfigurationError):
            raise
        raise click.UsageError(f"cannot write {path}: {error.strerror}") from None


COMMANDS = (init,)
