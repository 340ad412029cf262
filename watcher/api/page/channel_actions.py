"""What the page does with a channel: pause, resume, test, replay."""

from collections.abc import Mapping

from fastapi import Response

from watcher.api import channels as api
from watcher.api.dependencies import Daemon
from watcher.api.page.acting import Acting, Action, Field, Question, answer_of, options_of
from watcher.api.page.paths import address, segment
from watcher.api.page.router import PageRouter
from watcher.api.page.words import plural
from watcher.api.problems import Problem
from watcher.core.clock import parse_rfc3339, rfc3339
from watcher.core.setting_types import parse_duration

channel_actions = PageRouter()


@channel_actions.page("/channels/{name}/pause")
async def confirm_pause(name: str, act: Acting) -> Response:
    """Confirm the pause, with its reason."""
    pending = await _pending(act.daemon, name)
    return await act.confirm(
        Question(
            title=f"Pause {name}?",
            lines=[
                "Nothing is sent to it until it is resumed, also after a restart.",
                f"{_waiting(pending)}; what comes meanwhile is kept, and sent in order afterwards.",
            ],
            fields=[
                Field(
                    name="reason",
                    label="Reason",
                    hint="Others see it on this page and in watcher channels ls.",
                    required=False,
                )
            ],
            submit="Pause",
            back=_page_of(name),
        )
    )


@channel_actions.action("/channels/{name}/pause")
async def pause(name: str, act: Acting) -> Response:
    """Pause the channel."""
    reason = (await act.form()).get("reason", "").strip() or None
    options = options_of(api.PauseRequestView, reason=reason)
    await api.pause_channel(name, act.daemon, act.log, options)
    return act.done(_page_of(name), f"{name} is paused.")


@channel_actions.action("/channels/{name}/resume")
async def resume(name: str, act: Acting) -> Response:
    """Resume the channel."""
    pending = await _pending(act.daemon, name)
    await api.resume_channel(name, act.daemon, act.log)
    waiting = plural(pending, "delivery", "deliveries")
    return act.done(_page_of(name), f"{name} is resumed; {waiting} waited for it.")


@channel_actions.action("/channels/{name}/test")
async def send_test(name: str, act: Acting) -> Response:
    """Send a test message."""
    answer = answer_of(await api.test_channel(name, act.daemon, act.log))
    status = "" if answer["status"] is None else f" with {answer['status']}"
    if answer["delivered"]:
        return act.done(_page_of(name), f"{name} accepted the test message{status}.")
    return act.done(_page_of(name), f"{name} did not accept the test message: {answer['error']}")


@channel_actions.page("/channels/{name}/replay")
async def confirm_replay(
    name: str, act: Acting, since: str = "", until: str = "", statuses: str = ""
) -> Response:
    """Choose which events are sent again; then confirm their number."""
    _configured(act.daemon, name)
    if not since:
        return await act.confirm(_which(name))
    chosen = {
        "since": _moment(act.daemon, "since", since),
        "until": _moment(act.daemon, "until", until or "0s"),
        "statuses": statuses.strip(),
    }
    count = await _replay(act, name, chosen, dry_run=True)
    return await act.confirm(
        Question(
            title=f"Send {plural(count, 'event')} to {name} again?",
            lines=[
                f"From {chosen['since']} to {chosen['until']}: {plural(count, 'event')}, in order,"
                " each with its original webhook-id.",
                *([f"Only with the status {chosen['statuses']}."] if chosen["statuses"] else []),
            ],
            hidden=chosen,
            submit="Send again",
            back=_page_of(name),
        )
    )


@channel_actions.action("/channels/{name}/replay")
async def replay(name: str, act: Acting) -> Response:
    """Send the events again."""
    count = await _replay(act, name, await act.form(), dry_run=False)
    queued = plural(count, "delivery", "deliveries")
    return act.done(_page_of(name), f"{queued} to {name} queued.")


def _which(name: str) -> Question:
    return Question(
        title=f"Replay events to {name}",
        lines=[
            "The channel gets again what it was sent before. The next page shows how many events."
        ],
        fields=[
            Field(name="since", label="Since", value="2h", hint="A time, or how long ago: 2h."),
            Field(name="until", label="Until", hint="Empty: now.", required=False),
            Field(
                name="statuses",
                label="Statuses",
                hint="Such as FAILED, CANCELED. Empty: all.",
                required=False,
            ),
        ],
        submit="Continue",
        back=_page_of(name),
        then=f"channels/{segment(name)}/replay",
    )


async def _replay(act: Action, name: str, chosen: Mapping[str, str], *, dry_run: bool) -> int:
    options = options_of(
        api.ReplayRequestView,
        since=chosen.get("since", ""),
        until=chosen.get("until") or None,
        statuses=chosen.get("statuses", "").replace(",", " ").split(),
        dry_run=dry_run,
    )
    answer = answer_of(await api.replay_channel(name, options, act.daemon, act.log))
    return int(answer["queued"])


def _moment(daemon: Daemon, name: str, text: str) -> str:
    """Return a time as RFC 3339; `text` may be how long ago it is."""
    try:
        return rfc3339(parse_rfc3339(text.strip()))
    except (ValueError, OverflowError):
        pass
    try:
        return rfc3339(daemon.wall() - parse_duration(text.strip()))
    except (ValueError, OverflowError, OSError):
        raise Problem(
            422, f"{name}: a time such as 2026-11-23T07:00:00Z, or how long ago: 2h"
        ) from None


def _waiting(pending: int) -> str:
    return f"{plural(pending, 'delivery waits', 'deliveries wait')} for it now"


async def _pending(daemon: Daemon, name: str) -> int:
    _configured(daemon, name)
    depths = await daemon.store.outbox()
    return next((depth.pending for depth in depths if depth.channel == name), 0)


def _configured(daemon: Daemon, name: str) -> None:
    if name not in {channel.name for channel in daemon.settings.channels}:
        raise Problem(404, f"unknown channel {name!r}")


def _page_of(name: str) -> str:
    return f"{address('channels')}#{segment(name)}"
