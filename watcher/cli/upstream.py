"""Operations of the upstream API, through a running daemon: `tasks`, `batches`, `cancel-batch`,
`kill` and `confirm-uploads`.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from watcher.cli.options import (
    client_at,
    confirm,
    json_option,
    limit_option,
    source_option,
    url_option,
    yes_option,
)
from watcher.cli.terminal import say
from watcher.core.errors import DaemonError

_TASK_COLUMNS = ("task_id", "status", "task_type", "error")
_BATCH_COLUMNS = ("batch_id", "status", "done", "task_id", "error")

namespace_option = click.option(
    "--namespace", help="Namespace, sent as X-Namespace.  [default: the source's]"
)


@click.command()
@click.option("--status", metavar="S", help="Only this status.")
@click.option("--type", "task_type", metavar="T", help="Only this task type.")
@click.option(
    "--filters",
    metavar="JSON",
    help='Filter, such as \'{"additional_data.bucket_id": "bkt_1"}\'; AND, OR and NOT nest.',
)
@click.option("--search", metavar="TEXT", help="Only tasks with this text in ID, type or status.")
@click.option("--sort", metavar="FIELD[:desc]", help="Field to sort by.")
@limit_option(default=100)
@source_option
@url_option
@json_option
def tasks(
    status: str | None,
    task_type: str | None,
    filters: str | None,
    search: str | None,
    sort: str | None,
    limit: int,
    source: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """List tasks of the API, watched or not."""
    from watcher.cli.tables import print_items, print_table

    field, _, direction = (sort or "").partition(":")
    criteria = {
        "status": status,
        "task_type": task_type,
        "filters": None if filters is None else _json_object("--filters", filters),
        "search": search,
        "sort": {"field": field, "direction": direction or "asc"} if sort else None,
    }
    items = client_at(url).upstream_tasks(source, _present(criteria), limit or None)
    if as_json:
        print_items(items)
    else:
        print_table(
            _TASK_COLUMNS,
            ({**item, "error": item.get("error_message") or item.get("error")} for item in items),
        )


@click.command()
@click.argument("bucket")
@click.option("--status", metavar="S", help="Only this status.")
@namespace_option
@limit_option(default=100)
@source_option
@url_option
@json_option
def batches(
    bucket: str,
    status: str | None,
    namespace: str | None,
    limit: int,
    source: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """List batches of a bucket."""
    from watcher.cli.tables import print_items, print_table

    items = client_at(url).batches(
        source, bucket, _present({"status": status}), namespace, limit or None
    )
    if as_json:
        print_items(items)
        return
    rows = (
        {**item, "done": _share(item.get("progress")), "error": item.get("failure_reason")}
        for item in items
    )
    print_table(_BATCH_COLUMNS, rows)


@click.command("cancel-batch")
@click.argument("bucket")
@click.argument("batch")
@click.option("--reason", metavar="TEXT", help="Reason, passed to upstream.")
@namespace_option
@yes_option
@source_option
@url_option
@json_option
def cancel_batch(
    bucket: str,
    batch: str,
    reason: str | None,
    namespace: str | None,
    yes: bool,
    source: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Cancel a batch.

    Its final status is reported as usual.
    """
    from watcher.cli.terminal import plain, print_json
    from watcher.core.cancellation import cancellation

    confirm(f"Cancel batch {batch} of bucket {bucket}?", yes)
    response = client_at(url).cancel_batch(source, bucket, batch, reason, namespace)
    if as_json:
        print_json(response)
    else:
        task = f"{plain(response.get('task_id'))} {plain(response.get('status'))}"
        say(f"{task}: {cancellation(response)}")


@click.command()
@click.argument("task_id", metavar="ID")
@yes_option
@source_option
@url_option
@json_option
def kill(task_id: str, yes: bool, source: str | None, url: str | None, as_json: bool) -> None:
    """Kill a task.

    Its final status is reported as usual.
    """
    from watcher.cli.terminal import plain, print_json

    confirm(f"Kill task {task_id}?", yes)
    response = client_at(url).kill(source, task_id)
    if response.get("success") is False:
        text = plain(response.get("message") or "upstream does not say why")
        raise DaemonError(f"{task_id} was not killed: {text}")
    if as_json:
        print_json(response)
    else:
        say(str(response.get("message") or f"{task_id} killed"))


@click.command("confirm-uploads")
@click.argument("bucket")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--resend-doubtful",
    is_flag=True,
    help="Also resend uploads whose result is unknown.",
)
@namespace_option
@source_option
@url_option
@json_option
def confirm_uploads(
    bucket: str,
    file: Path,
    resend_doubtful: bool,
    namespace: str | None,
    source: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Confirm uploads of a JSON or CSV file.

    The file has upload_id, etag and file_size_bytes. Run the command again after an interruption:
    no upload is confirmed twice. Exits 1 if the result of an upload is unknown.
    """
    from watcher.cli.terminal import Counting, print_json
    from watcher.cli.upload_files import read

    confirmations = read(file)
    items: list[dict[str, Any]] = []
    requests: list[dict[str, Any]] = []
    pages = client_at(url).confirm_uploads(
        source, bucket, confirmations, namespace=namespace, resend_doubtful=resend_doubtful
    )
    try:
        with Counting(len(confirmations), "uploads") as counting:
            for page in pages:
                items += page["items"]
                requests += page["requests"]
                counting.reached(len(items))
    finally:  # a later request that fails does not hide what the earlier ones started
        for request in () if as_json else requests:
            say(_confirmation(request))
    if as_json:
        print_json(items)
    else:
        say(_summary(items))
    if doubtful := [item for item in items if item["state"] == "doubtful"]:
        say(f"watcher: {_doubt(len(doubtful), requests)}", err=True)
        sys.exit(1)


COMMANDS = (tasks, batches, cancel_batch, kill, confirm_uploads)


def _present(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _json_object(option: str, text: str) -> dict[str, Any]:
    import json

    try:
        value = json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"{option}: invalid JSON: {error}") from None
    if not isinstance(value, dict):
        raise click.UsageError(f"{option}: expected a JSON object")
    return value


def _share(progress: Any) -> str | None:
    percent = progress.get("percent") if isinstance(progress, Mapping) else None
    return f"{percent:.0f} %" if isinstance(percent, int | float) else None


def _confirmation(request: Mapping[str, Any]) -> str:
    """Return what upstream answered to one request."""
    sent, count = request["sent"], request["confirmations_count"]
    uploads = f"{sent if count is None else count} of {sent} uploads"
    status = f" {request['status']}" if request["status"] else ""
    message = f": {request['message']}" if request["message"] else ""
    return f"{request['task_id']}{status}, {uploads}{message}"


def _summary(items: Sequence[Mapping[str, Any]]) -> str:
    states = [item["state"] for item in items]
    started = len({item["task_id"] for item in items if item["state"] == "confirmed"})
    already = states.count("already")
    return f"{states.count('confirmed')} confirmed by {started} tasks, {already} confirmed before"


def _doubt(doubtful: int, requests: Sequence[Mapping[str, Any]]) -> str:
    """Return why the result of uploads is unknown, and what to do."""
    text = f"the result of {doubtful} uploads is unknown; --resend-doubtful sends them again"
    short = [
        one
        for one in requests
        if one["confirmations_count"] is not None and one["confirmations_count"] < one["sent"]
    ]
    if not short:
        return text
    counts = (sum(one[name] for one in short) for name in ("confirmations_count", "sent"))
    return "upstream confirms {} of {} uploads and does not say which; ".format(*counts) + text
