"""What `bench.monitoring` prints, and what it calls wrong. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bench.monitoring_faults import Fault
from bench.monitoring_servers import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """When a fault began and ended, and the run did, as Unix times."""

    began: float
    ended: float
    finished: float


def faulty(fault: Fault, sent: Sequence[Message], times: Times) -> Sequence[str]:
    """Return what is wrong with the messages about a daemon with this fault."""
    began = times.began
    before = [message for message in sent if message.at < began]
    wrong = [f"before the fault: {message.title!r}" for message in before]
    firing = [message for message in sent if not message.resolved and message.at >= began]
    if fault.alert is None:
        return [*wrong, *(f"not expected: {message.title!r}" for message in firing)]
    if not firing:
        return [*wrong, f"no message; expected {fault.alert}"]
    wrong += [
        f"another alert than {fault.alert}: {message.title!r}"
        for message in firing
        if message.alerts != {fault.alert.lower()}
    ]
    if len(firing) > 1:
        wrong.append(f"{len(firing)} messages at its start")
    return [*wrong, *_start(fault, firing[0], began), *_end(fault, sent, times)]


def _start(fault: Fault, first: Message, began: float) -> Sequence[str]:
    wrong = []
    if first.at - began > fault.within:
        wrong.append(f"sent after more than {fault.within:.0f} s")
    if not re.search(fault.cause, first.title, re.IGNORECASE):
        wrong.append(f"the first line does not name the cause ({fault.cause})")
    return wrong


def _end(fault: Fault, sent: Sequence[Message], times: Times) -> Sequence[str]:
    resolved = [message for message in sent if message.resolved]
    latest = times.ended + fault.resolved_within
    if not resolved:
        return [f"not resolved {times.finished - times.ended:.0f} s after its end"] * (
            times.finished > latest
        )
    wrong = ["resolved before the fault ended"] if resolved[0].at < times.ended else []
    if resolved[0].at > latest:
        wrong.append(f"resolved more than {fault.resolved_within:.0f} s after its end")
    if len(resolved) > 1:
        wrong.append(f"{len(resolved)} messages at its end")
    return wrong


def described(name: str, sent: Sequence[Message], times: Times, wrong: Sequence[str]) -> str:
    """Return the lines about one daemon."""
    verdict = "WRONG" if wrong else "ok"
    lines = [f"{verdict:5} {name}"] + [f"        {_line(one, times)}" for one in sent]
    if sent and not any(message.resolved for message in sent):
        lines.append(
            f"        not resolved yet, {times.finished - times.ended:.0f} s after the end"
        )
    return "\n".join(lines + [f"        wrong: {one}" for one in wrong])


def _line(message: Message, times: Times) -> str:
    alerts = " ".join(sorted(message.alerts)) or "?"
    if message.resolved:
        after = message.at - times.ended
        when = f"resolved {abs(after):.0f} s {'after' if after >= 0 else 'BEFORE'} the end"
    else:
        when = f"sent {message.at - times.began:.0f} s after the start"
    return f"{when}: {message.title or '(no title)'} [{alerts}]"
