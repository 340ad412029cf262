"""What `scripts/bench monitoring` calls wrong. The bench itself takes 25 minutes of real time."""

from typing import Any

import pytest

from bench.monitoring_faults import FAULTS, Fault
from bench.monitoring_report import Times, described, faulty
from bench.monitoring_servers import Message, message
from tests.shipped.test_monitoring import rules

TIMES = Times(began=1_000.0, ended=1_660.0, finished=2_400.0)


async def nothing(_: object) -> None:
    """Stand for what begins and ends a fault."""


FAULT = Fault(
    name="source closed",
    alert="WatcherSourceDown",
    cause="connection",
    begin=nothing,
    end=nothing,
)


def sent(at: float, **fields: Any) -> Message:
    values: dict[str, Any] = {
        "title": "No connection to mixpeek",
        "resolved": False,
        "alerts": frozenset({"watchersourcedown"}),
        "content": "127.0.0.1:15001",
    }
    return Message(at=at, **{**values, **fields})


START, END = sent(1_120.0), sent(1_900.0, resolved=True)


@pytest.mark.parametrize(
    ("messages", "wrong"),
    [
        ([START, END], []),
        ([], ["no message"]),
        ([START], ["not resolved 740 s after its end"]),
        ([START, sent(2_390.0, resolved=True)], ["resolved more than 720 s after"]),
        ([sent(990.0), START, END], ["before the fault"]),
        ([START, sent(1_130.0), END], ["2 messages at its start"]),
        ([START, END, sent(1_950.0, resolved=True)], ["2 messages at its end"]),
        ([START, sent(1_500.0, resolved=True)], ["resolved before the fault ended"]),
        ([sent(1_301.0), END], ["more than 300 s"]),
        ([sent(1_120.0, title="mixpeek does not respond"), END], ["does not name the cause"]),
        ([sent(1_120.0, alerts=frozenset({"watchergone"})), END], ["another alert than"]),
    ],
)
def test_a_fault_is_one_message_with_its_cause_in_time_and_one_at_its_end(
    messages: list[Message], wrong: list[str]
) -> None:
    found = faulty(FAULT, messages, TIMES)
    assert len(found) == len(wrong)
    for text, expected in zip(found, wrong, strict=True):
        assert expected in text
    shown = described(FAULT.name, messages, TIMES, found)
    assert shown.startswith("WRONG" if wrong else "ok")
    for text in found:
        assert text in shown


def test_a_run_that_ends_early_does_not_prove_that_an_alert_stays() -> None:
    early = Times(began=TIMES.began, ended=TIMES.ended, finished=2_200.0)
    assert faulty(FAULT, [START], early) == []
    assert "not resolved yet, 540 s after the end" in described(FAULT.name, [START], early, [])


def test_a_fault_that_is_no_reason_for_an_alert_is_silent() -> None:
    silent = Fault(name="channel paused", alert=None, begin=nothing, end=nothing)
    assert faulty(silent, [], TIMES) == []
    assert len(faulty(silent, [START], TIMES)) == 1


def test_a_message_is_about_the_daemon_whose_whole_address_it_has() -> None:
    attachment = {
        "title": "Resolved: No connection",
        "text": "docs/runbooks.md#watchersourcedown-connect (127.0.0.1:15001)",
        "color": "good",
    }
    read = message({"attachments": [attachment]}, 1.0)
    assert read.alerts == {"watchersourcedown"}
    assert read.resolved
    assert read.names("127.0.0.1:15001")
    assert not read.names("127.0.0.1:1500")


def test_each_alert_that_the_bench_expects_is_one_of_the_rules() -> None:
    names = {rule["alert"] for rule in rules()}
    assert {fault.alert for fault in FAULTS} - {None} <= names
