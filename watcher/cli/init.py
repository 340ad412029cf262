"""`watcher init`: writes a configuration with its secrets."""

import base64
import json
import os
import secrets
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from watcher.cli.terminal import say

_PRIVATE = 0o600
_TEMPLATE = """\
# Configuration of the watcher. Check it with `watcher config check`; SIGHUP reloads it.
# Variables override any key: WATCHER_SERVER__PORT=9090. A secret `x` may be in a file: `x_file`.
# Durations are numbers of seconds, or text such as 500ms, 30s, 5m, 7d.

sources:
  - name: mixpeek
    # The key is MIXPEEK_API_KEY, unless it is in a file:
    # api_key_file: /run/secrets/mixpeek-api-key
    # namespace: production         # sent as X-Namespace where the API needs one
    requests_per_minute: 60         # per route, as upstream counts; null: no own limit

# Without rules, tasks are watched that `watcher add` or POST /v1/watches names.
# discovery:
#   - {{list: tasks, every: 60s}}

channels:
{webhook}
  # - name: alerts
  #   type: slack
  #   url_file: /run/secrets/slack-webhook

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
    secrets_file: {secret}
"""


@click.command()
@click.argument("file", default="watcher.yaml", type=click.Path(path_type=Path))
def init(file: Path) -> None:
    """Write a configuration.

    Creates FILE (default: watcher.yaml), and beside it a signing secret and an API token, each in a
    file that only you can read. The configuration needs MIXPEEK_API_KEY, and nothing else.
    """
    file = file.absolute()
    token = file.with_name(f"{file.stem}-api-token")
    secret = file.with_name(f"{file.stem}-signing-secret")
    contents = {
        token: f"{secrets.token_urlsafe(32)}\n",
        secret: f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}\n",
    }
    if existing := [str(one) for one in (file, *contents) if os.path.lexists(one)]:
        raise click.UsageError(f"{', '.join(existing)} exists; name another FILE")
    _write({**contents, file: _configuration(_webhook_url(), secret, token)})
    name = shlex.quote(str(file))
    say(f"wrote {file}, {secret.name} and {token.name}; set MIXPEEK_API_KEY, then:")
    say()
    for command in ("config check --live", "run -c", "add TASK_ID -c"):
        say(f"  watcher {command} {name}")
    say()
    say(f"With WATCHER_CONFIG={name}, no command needs -c.")


def _webhook_url() -> str | None:
    """Return the URL of a webhook, if there is a terminal and its user has one."""
    if not sys.stdin.isatty():
        return None
    from watcher.core.setting_types import http_url

    def checked(text: str) -> str:
        try:
            return http_url(text) if text else ""
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return click.prompt("URL of your webhook, or nothing", default="", value_proc=checked) or None


def _configuration(url: str | None, secret: Path, token: Path) -> str:
    """Return the text of the configuration. A JSON text is one of YAML, too."""
    shown = json.dumps(url or "https://backend.internal/hooks/tasks")
    webhook = _WEBHOOK.format(url=shown, secret=json.dumps(str(secret))).rstrip("\n")
    if url is None:
        webhook = "\n".join(f"  # {line.removeprefix('  ')}" for line in webhook.splitlines())
    return _TEMPLATE.format(webhook=webhook, token=json.dumps(str(token)))


def _write(contents: Mapping[Path, str]) -> None:
    """Create all files, or none."""
    created: list[Path] = []
    try:
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            descriptor = os.open(path, flags, _PRIVATE)
            created.append(path)
            with os.fdopen(descriptor, "w") as file:
                file.write(content)
    except OSError as error:
        for path in created:
            path.unlink(missing_ok=True)
        raise click.UsageError(f"cannot write {path}: {error.strerror}") from None


COMMANDS = (init,)
