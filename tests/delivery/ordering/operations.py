"""What happens in a scenario, and how scenarios are drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from tests.delivery.ordering.receiver import ANSWERS, Answer

TASKS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Tasks change `count` times each; the bodies have outputs of `size` bytes."""

    tasks: Sequence[int]
    count: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Respond:
    """From now on the receiver answers with each of these in turn, after `latency` seconds."""

    answers: Sequence[str]
    latency: float

    @property
    def cycle(self) -> Sequence[Answer]:
        return [ANSWERS[name] for name in self.answers]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """From now on the receiver rejects the events of one task, or no longer with None."""

    task: int
    answer: str | None


@dataclass(frozen=True, slots=True)
class Pause:
    pass


@dataclass(frozen=True, slots=True)
class Resume:
    pass


@dataclass(frozen=True, slots=True)
class RetryAll:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryOne:
    """Retry one delivery, counted from the oldest, of those in this state."""

    state: str
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Purge:
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """The process ends, by a kill after so many awaits or in order with None, and starts again with
    these settings.
    """

    awaits: int | None
    concurrency: int
    order_wait: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Jump:
    """The wall clock is set by so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """Nothing can be stored from now on, or everything again."""

    full: bool


Operation = (
    Store
    | Wait
    | Respond
    | Reject
    | Pause
    | Resume
    | RetryAll
    | RetryOne
    | Purge
    | Restart
    | Jump
    | Disk
)

_REJECTIONS = ("400", "413", "422", "403", "413 above a size")
_EVERYTHING_REJECTED = ("400", "401", "403", "404", "405", "415", "422")
_tasks = st.integers(0, TASKS - 1)
_waits = st.sampled_from((0.0, 0.02, 1.0, 6.0, 31.0, 61.0, 130.0, 400.0, 700.0, 4000.0))
_latencies = st.sampled_from((0.0, 0.05, 2.0))
_cycles = st.one_of(
    st.just(["accepts"]),
    st.sampled_from(_EVERYTHING_REJECTED).map(lambda name: [name]),
    st.sampled_from(sorted(ANSWERS)).map(lambda name: [name]),
    st.lists(st.sampled_from(sorted(ANSWERS)), min_size=1, max_size=4),
    st.lists(st.sampled_from(sorted(ANSWERS)), min_size=1, max_size=3).map(
        lambda names: ["accepts", *names]
    ),
)
_stores = st.builds(
    Store,
    tasks=st.lists(_tasks, max_size=4),
    count=st.integers(1, 3),
    size=st.sampled_from((1, 2_000, 10_000)),
)
_operators = st.one_of(
    st.just(Pause()),
    st.just(Resume()),
    st.just(RetryAll()),
    st.builds(RetryOne, state=st.sampled_from(("pending", "failed")), position=st.integers(0, 4)),
    st.builds(Purge, state=st.sampled_from(("pending", "failed"))),
)
_surroundings = st.one_of(
    st.builds(
        Restart,
        awaits=st.none() | st.integers(0, 200),
        concurrency=st.sampled_from((1, 4, 8)),
        order_wait=st.sampled_from((60.0, 600.0)),
    ),
    st.builds(Jump, seconds=st.sampled_from((-3600.0, -70.0, -3.0, 3.0, 70.0, 3600.0, 86400.0))),
    st.builds(Disk, full=st.booleans()),
)
_rounds = st.tuples(
    st.builds(Respond, answers=_cycles, latency=_latencies),
    st.builds(Reject, task=_tasks, answer=st.none() | st.sampled_from(_REJECTIONS)),
    _stores,
    st.builds(Wait, seconds=_waits),
    _stores,
    st.one_of(_operators, _surroundings),
    st.builds(Wait, seconds=_waits),
)
"""Each is dense on purpose: most of a list of any operations would do nothing."""
operations = st.lists(_rounds, min_size=1, max_size=6).map(
    lambda rounds: [operation for one in rounds for operation in one]
)
"""A scenario: what happens, one after the other."""
