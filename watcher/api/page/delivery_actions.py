"""What the page does with deliveries: send failed ones again, and purge."""

from collections.abc import Mapping

from fastapi import Request, Response

from watcher.api import channels as channel_api
from watcher.api import deliveries as api
from watcher.api.page.acting import TYPED, Acting, Action, Field, Question, answer_of, options_of
from watcher.api.page.paths import address, safe_next, segment
from watcher.api.page.router import PageRouter
from watcher.api.page.words import plural, utc
from watcher.api.problems import Problem
from watcher.core.deliveries import DeliveryState

delivery_actions = PageRouter()


@delivery_actions.action("/deliveries/{delivery_id:int}/retry")
async def retry_one(delivery_id: int, act: Acting) -> Response:
    """Send a delivery again."""
    target = safe_next((await act.form()).get("next", ""))
    answer = answer_of(await api.retry_delivery(delivery_id, act.daemon, act.log))
    channel, task_id = answer["channel"], answer["task_id"]
    page = f"tasks/{segment(task_id)}" if task_id else _list("pending", channel)
    return act.done(target or page, f"Delivery {delivery_id} to {channel} is queued.")


@delivery_actions.page("/deliveries/retry")
async def confirm_retry(request: Request, act: Acting) -> Response:
    """Show how many failed deliveries are sent again."""
    chosen = request.query_params
    count, words = await _retry(act, chosen, dry_run=True)
    return await act.confirm(
        Question(
            title=f"Send {plural(count, 'delivery', 'deliveries')} again?",
            lines=[
                f"{words}: {plural(count, 'delivery', 'deliveries')}, in order, each with its"
                " whole schedule of attempts."
            ],
            hidden={name: chosen[name] for name in ("channel", "error") if name in chosen},
            submit="Send again",
            back=_list("failed", chosen.get("channel", "")),
        )
    )


@delivery_actions.action("/deliveries/retry")
async def retry(act: Acting) -> Response:
    """Send failed deliveries again."""
    chosen = await act.form()
    count, _ = await _retry(act, chosen, dry_run=False)
    channel = chosen.get("channel", "")
    queued = plural(count, "delivery", "deliveries")
    return act.done(_list("pending", channel), f"{queued} to {channel} queued.")


async def _retry(act: Action, chosen: Mapping[str, str], *, dry_run: bool) -> tuple[int, str]:
    channel, error = chosen.get("channel", ""), chosen.get("error") or None
    options = options_of(api.RetryRequestView, channel=channel, error=error, dry_run=dry_run)
    answer = answer_of(await api.retry_deliveries(options, act.daemon, act.log))
    words = f"Deliveries to {channel} that failed"
    return answer["queued"], words if error is None else f"{words} with: {error}"


@delivery_actions.page("/deliveries/purge")
async def confirm_purge(request: Request, act: Acting) -> Response:
    """Show what a purge deletes."""
    return await act.confirm(await _purged(act, request.query_params))


@delivery_actions.action("/deliveries/purge")
async def purge(act: Acting) -> Response:
    """Delete the deliveries of a channel in one state."""
    chosen = await act.form()
    question = await _purged(act, chosen)
    channel, state = chosen.get("channel", ""), chosen.get("state", "")
    if (again := await act.confirmed(question, channel)) is not None:
        return again
    options = options_of(
        channel_api.PurgeRequestView, state=state, before=chosen.get("before") or None
    )
    answer = answer_of(await channel_api.purge_channel(channel, options, act.daemon, act.log))
    deleted = plural(answer["purged"], "delivery", "deliveries")
    return act.done(_list(state, channel), f"{deleted} to {channel} deleted.")


async def _purged(act: Action, chosen: Mapping[str, str]) -> Question:
    channel, state = chosen.get("channel", ""), _state(chosen.get("state", ""))
    found = await act.daemon.store.count_deliveries(channel, state)
    if found is None:
        raise Problem(404, f"there are no {state} deliveries to {channel!r}")
    count = plural(found.count, "delivery", "deliveries")
    oldest, newest = utc(found.oldest_at), utc(found.newest_at)
    ends = "They are not sent." if state is DeliveryState.PENDING else "Their attempts go, too."
    return Question(
        title=f"Delete {count} to {channel}?",
        lines=[
            f"{state.capitalize()} deliveries to {channel}: {count}.",
            f"Their events are from {oldest} to {newest}.",
            ends,
        ],
        hidden={"channel": channel, "state": state},
        fields=[Field(name=TYPED, label=f"Type {channel} to confirm")],
        submit="Delete",
        ends=True,
        back=_list(state, channel),
    )


def _state(text: str) -> DeliveryState:
    try:
        return DeliveryState(text)
    except ValueError:
        raise Problem(422, f"state: one of {', '.join(DeliveryState)}") from None


def _list(state: str, channel: str) -> str:
    return address("deliveries", {"state": state, "channel": channel})
