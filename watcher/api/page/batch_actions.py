"""What the page does with a batch: send its events again, cancel it upstream."""

from fastapi import Response

from watcher.api import upstream
from watcher.api.page.acting import TYPED, Acting, Action, Field, Question, answer_of
from watcher.api.page.paths import segment
from watcher.api.page.resent import Resent
from watcher.api.page.router import PageRouter
from watcher.api.page.words import plural
from watcher.api.problems import Problem
from watcher.core.cancellation import cancellation
from watcher.core.reading import BatchTasks

batch_actions = PageRouter()

_PAGE = 1000


@batch_actions.page("/batches/{batch}/replay")
async def confirm_replay(batch: str, act: Acting, channel: str = "") -> Response:
    """Choose the channel to which the batch's events are sent again; then confirm their number."""
    return await act.confirm(await (await _resent(act, batch)).question(act, channel))


@batch_actions.action("/batches/{batch}/replay")
async def replay(batch: str, act: Acting) -> Response:
    """Send the events of the batch's tasks again."""
    resent = await _resent(act, batch)
    channel = (await act.form()).get("channel", "")
    count = await resent.send(act, channel, dry_run=False)
    return act.done(resent.page, f"{plural(count, 'delivery', 'deliveries')} to {channel} queued.")


@batch_actions.page("/batches/{batch}/cancel")
async def confirm_cancel(batch: str, act: Acting) -> Response:
    """Confirm that upstream cancels the batch."""
    return await act.confirm(_canceled(await _batch(act, batch)))


@batch_actions.action("/batches/{batch}/cancel")
async def cancel(batch: str, act: Acting) -> Response:
    """Cancel the batch upstream."""
    found = await _batch(act, batch)
    question = _canceled(found)
    if (again := await act.confirmed(question, batch)) is not None:
        return again
    (source,), bucket = found.summary.sources, found.bucket
    namespace = next((one.namespace for one in found.watches if one.namespace), None)
    answer = answer_of(
        await upstream.cancel_batch(
            source, str(bucket), batch, act.daemon, act.log, namespace=namespace
        )
    )
    return act.done(_page_of(batch), f"Cancel accepted: {cancellation(answer)}.")


def _canceled(found: BatchTasks) -> Question:
    summary = found.summary
    if found.bucket is None or len(summary.sources) != 1:
        raise Problem(
            409,
            "no event of this batch names its bucket; use watcher cancel-batch BUCKET BATCH",
        )
    return Question(
        title=f"Cancel {summary.batch} upstream?",
        lines=[
            f"Source {summary.sources[0]} is requested to end the batch of bucket {found.bucket}:"
            f" {plural(summary.active, 'task')} of {summary.size:,} still run.",
            "Their final statuses are reported like any others.",
        ],
        fields=[Field(name=TYPED, label=f"Type {summary.batch} to confirm")],
        submit="Cancel the batch",
        ends=True,
        back=_page_of(summary.batch),
    )


async def _batch(act: Action, batch: str) -> BatchTasks:
    found = await act.daemon.store.batch(batch, _PAGE)
    if found is None:
        raise Problem(404, f"no task of batch {batch!r} is watched")
    return found


async def _resent(act: Action, batch: str) -> Resent:
    found: BatchTasks | None = await _batch(act, batch)
    task_ids: list[str] = []
    while found is not None:
        task_ids += [watch.key.task_id for watch in found.watches]
        cursor = found.next_cursor
        found = await act.daemon.store.batch(batch, _PAGE, cursor) if cursor else None
    page = _page_of(batch)
    subject = f"the {plural(len(task_ids), 'task')} of batch {batch}"
    channels = [channel.name for channel in act.daemon.settings.channels]
    return Resent(
        subject=subject, task_ids=task_ids, channels=channels, page=page, path=f"{page}/replay"
    )


def _page_of(batch: str) -> str:
    return f"batches/{segment(batch)}"
