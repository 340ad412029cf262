"""Any history of answers: gapless sequences, and ends that are final."""

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.polling.harness import Harness, running
from tests.support.stores import opened
from watcher.core.errors import SourceError, SourceFailure
from watcher.core.events import event_type

pytestmark = pytest.mark.anyio


TRANSITIONS = {
    event_type(status)
    for status in ("PENDING", "IN_PROGRESS", "QUEUED", "SOMETHING_NEW", "INTERRUPTED", "FAILED")
}


Moment = tuple[str | None, float]
"""What upstream shows from now on (None: nothing), and for how long."""


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    history=st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "PENDING",
                    "IN_PROGRESS",
                    "QUEUED",
                    "SOMETHING_NEW",
                    "INTERRUPTED",
                    "FAILED",
                    "down",
                    None,
                ]
            ),
            st.sampled_from([0.5, 5.0, 45.0, 400.0, 1500.0]),
        ),
        max_size=12,
    )
)
async def test_whatever_upstream_does_sequences_have_no_gap_and_ends_are_ends(
    history: list[Moment], tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with opened(tmp_path_factory.mktemp("history")) as store:
        harness = Harness(store)
        async with running(harness.poller):
            await harness.watch("task_1")
            for status, wait in history:
                harness.source.trouble = (
                    SourceError(SourceFailure.CONNECT, "no answer") if status == "down" else None
                )
                if status is None:
                    harness.source.shown.pop("task_1", None)
                elif status != "down":
                    harness.source.shown["task_1"] = status
                await anyio.sleep(wait)
        events = await harness.events()

    sent = [
        (one.previous_status, one.status, one.sequence) for one in events if one.type in TRANSITIONS
    ]
    lost = [one.sequence for one in events if one.type == "task.lost"]
    assert [sequence for _, _, sequence in sent] == list(range(1, len(sent) + 1))
    assert [before for before, _, _ in sent] == [None, *(status for _, status, _ in sent)][
        : len(sent)
    ]
    assert all(
        before != status or sequence - 1 in lost for before, status, sequence in sent if sequence
    )
    assert all(status != "FAILED" for _, status, _ in sent[:-1])
