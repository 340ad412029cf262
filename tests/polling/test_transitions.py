"""Any sequence of answers: gapless sequences, no event without a change, and an end that is one."""

from dataclasses import dataclass
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.support.records import observation
from watcher.core.tasks import KNOWN_STATUSES, TERMINAL_STATUSES, Observation, TaskNotFound
from watcher.polling.transitions import Step, step

LOST_AFTER = 100.0


@dataclass
class Memory:
    status: str | None = None
    missing_since: float | None = None
    lost: bool = False
    reopened_at: float | None = None


answers = st.one_of(
    st.just(TaskNotFound(task_id="t")),
    st.sampled_from([*sorted(KNOWN_STATUSES), "NEVER_SEEN"]).map(
        lambda status: observation("t", status)
    ),
)


def follow(memory: Memory, taken: Step, answer: Observation | TaskNotFound, now: float) -> None:
    """What the poller remembers after a step."""
    if taken is Step.TRANSITION and not isinstance(answer, TaskNotFound):
        memory.status, memory.missing_since, memory.lost = answer.status, None, False
    elif taken is Step.MISSING:
        memory.missing_since = now
    elif taken is Step.LOST:
        memory.lost = True
    elif taken is Step.FOUND:
        memory.missing_since = None


@given(st.lists(st.tuples(answers, st.floats(0, 80))))
def test_any_sequence_of_answers(history: list[tuple[Observation | TaskNotFound, float]]) -> None:
    memory = Memory()
    transitions: list[tuple[str | None, str | None]] = []
    now = 0.0
    for answer, wait in history:
        now += wait
        before = memory.status
        was_lost = memory.lost
        taken = step(memory, answer, now=now, lost_after=LOST_AFTER)
        if before in TERMINAL_STATUSES:
            assert taken is Step.UNCHANGED
        if taken is Step.TRANSITION:
            assert not isinstance(answer, TaskNotFound)
            assert answer.status != before or was_lost
            transitions.append((before, answer.status))
        if taken is Step.LOST:
            assert memory.missing_since is not None
            assert now - memory.missing_since > LOST_AFTER
            assert not was_lost
        follow(memory, taken, answer, now)

    assert all(earlier[1] == later[0] for earlier, later in pairwise(transitions))
    assert all(status not in TERMINAL_STATUSES for _, status in transitions[:-1])


def test_a_clock_set_back_starts_the_wait_again() -> None:
    memory = Memory(status="PENDING", missing_since=1000.0)
    assert step(memory, TaskNotFound(task_id="t"), now=500.0, lost_after=LOST_AFTER) is Step.MISSING
