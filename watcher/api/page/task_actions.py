"""What the page does with a task: watch it, send its events again, stop watching, kill it."""

from fastapi import Response

from watcher.api import upstream
from watcher.api import watches as api
from watcher.api.page import history
from watcher.api.page.acting import TYPED, Acting, Action, Field, Question, answer_of
from watcher.api.page.paths import address, segment
from watcher.api.page.resent import Resent
from watcher.api.page.router import PageRouter
from watcher.api.page.words import plural
from watcher.api.problems import Problem
from watcher.core.tasks import TaskKey, WatchRequest
from watcher.core.texts import check_id

task_actions = PageRouter()


@task_actions.action("/tasks/{task_id}/watch")
async def watch(task_id: str, act: Acting) -> Response:
    """Watch the task; if it has ended, again."""
    try:
        check_id(task_id)
    except ValueError as error:
        raise Problem(422, f"task_id: {error}") from None
    source = (await act.form()).get("source") or act.daemon.settings.sources[0].name
    if source not in {one.name for one in act.daemon.settings.sources}:
        raise Problem(422, f"unknown source {source!r}")
    key = TaskKey(source, task_id)
    added = await act.daemon.store.add([WatchRequest(key=key, again=True)], act.daemon.wall())
    act.daemon.track(one for one in added.watches if one.key in added.reactivated)
    act.log("added task %.150r of source %.150r", task_id, source, source=source, task_id=task_id)
    return act.done(_page_of(key.task_id, source), f"{task_id} is watched.")


@task_actions.page("/tasks/{task_id}/replay")
async def confirm_replay(task_id: str, act: Acting, channel: str = "") -> Response:
    """Choose the channel to which the task's events are sent again; then confirm their number."""
    return await act.confirm(await (await _resent(act, task_id)).question(act, channel))


@task_actions.action("/tasks/{task_id}/replay")
async def replay(task_id: str, act: Acting) -> Response:
    """Send the task's events again."""
    resent = await _resent(act, task_id)
    channel = (await act.form()).get("channel", "")
    count = await resent.send(act, channel, dry_run=False)
    return act.done(resent.page, f"{plural(count, 'delivery', 'deliveries')} to {channel} queued.")


@task_actions.page("/tasks/{task_id}/remove")
async def confirm_remove(task_id: str, act: Acting, source: str | None = None) -> Response:
    """Confirm that the task is no longer watched."""
    found = await api.find_watch(act.daemon, task_id, source)
    return await act.confirm(
        Question(
            title=f"Stop watching {task_id}?",
            lines=[
                "Later changes of its status are not noticed, and it leaves the lists. Upstream"
                " continues to work on it.",
                "Deliveries of what has happened so far are still sent.",
            ],
            hidden={"source": found.key.source},
            submit="Stop watching",
            ends=True,
            back=_page_of(task_id, source),
        )
    )


@task_actions.action("/tasks/{task_id}/remove")
async def remove(task_id: str, act: Acting) -> Response:
    """Stop watching the task."""
    source = (await act.form()).get("source") or None
    await api.remove_watch(task_id, act.daemon, act.log, source)
    return act.done("tasks", f"{task_id} is no longer watched.")


@task_actions.page("/tasks/{task_id}/kill")
async def confirm_kill(task_id: str, act: Acting, source: str | None = None) -> Response:
    """Confirm that upstream stops the task."""
    return await act.confirm(await _killed(act, task_id, source))


@task_actions.action("/tasks/{task_id}/kill")
async def kill(task_id: str, act: Acting) -> Response:
    """Kill the task upstream."""
    source = (await act.form()).get("source") or None
    question = await _killed(act, task_id, source)
    if (again := await act.confirmed(question, task_id)) is not None:
        return again
    name = question.hidden["source"]
    answer = answer_of(await upstream.kill_task(name, task_id, act.daemon, act.log))
    if answer.get("success") is False:
        reason = answer.get("message") or "upstream does not say why"
        raise Problem(409, f"{task_id} was not killed: {reason}")
    said = "Kill accepted; the CANCELED status is reported like any other."
    return act.done(_page_of(task_id, source), said)


async def _killed(act: Action, task_id: str, source: str | None) -> Question:
    found = await api.find_watch(act.daemon, task_id, source)
    return Question(
        title=f"Kill {task_id} upstream?",
        lines=[
            f"Source {found.key.source} is requested to end the task, which has the status"
            f" {found.status or 'unknown'}. What it has done so far may be lost.",
            "Its final status is reported like any other.",
        ],
        fields=[Field(name=TYPED, label=f"Type {task_id} to confirm")],
        hidden={"source": found.key.source},
        submit="Kill",
        ends=True,
        back=_page_of(task_id, source),
    )


async def _resent(act: Action, task_id: str) -> Resent:
    found, settings = await act.daemon.store.find(task_id), act.daemon.settings
    if not found:
        raise Problem(404, f"{task_id!r} is not watched")
    events = [event for watch in found for event in await act.daemon.store.history(watch.key)]
    page = _page_of(task_id)
    return Resent(
        subject=task_id,
        task_ids=[task_id],
        channels=history.notified(events, settings),
        page=page,
        path=f"{page}/replay",
    )


def _page_of(task_id: str, source: str | None = None) -> str:
    return address(f"tasks/{segment(task_id)}", {"source": source})
