"""What happens in a scenario, and how scenarios are drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from tests.delivery.ordering.receiver import ANSWERS, Answer

TASKS = 4
CHANNELS = ("backend", "people")
"""The second one combines events in digests."""


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

    channel: str
    answers: Sequence[str]
    latency: float

    @property
    def cycle(self) -> Sequence[Answer]:
        return [ANSWERS[name] for name in self.answers]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """From now on the receiver rejects the events of one task, or no longer with None."""

    channel: str
    task: int
    answer: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    channel: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    channel: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryAll:
    channel: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryOne:
    """Retry one delivery, counted from the oldest, of those in this state."""

    channel: str
    state: str
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Purge:
    channel: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Send what is at most so many seconds old again, of one task or of all with None."""

    channel: str
    seconds: float
    task: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reload:
    """One channel gets these settings, while the other one runs on."""

    channel: str
    concurrency: int
    order_wait: float


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


Operator = Pause | Resume | RetryAll | RetryOne | Purge | Replay | Reload
Operation = Store | Wait | Respond | Reject | Operator | Restart | Jump | Disk

_REJECTIONS = ("400", "413", "422", "403", "413 above a size")
_EVERYTHING_REJECTED = ("400", "401", "403", "404", "405", "415", "422")
_tasks = st.integers(0, TASKS - 1)
_waits = st.sampled_from((0.0, 0.02, 1.0, 6.0, 31.0, 61.0, 130.0, 400.0, 700.0, 4000.0))
_channels = st.sampled_from(CHANNELS)
_concurrency = st.sampled_from((1, 4, 8))
_order_wait = st.sampled_from((60.0, 600.0))
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
    st.builds(Pause, channel=_channels),
    st.builds(Resume, channel=_channels),
    st.builds(RetryAll, channel=_channels),
    st.builds(
        RetryOne,
        channel=_channels,
        state=st.sampled_from(("pending", "failed")),
        position=st.integers(0, 4),
    ),
    st.builds(Purge, channel=_channels, state=st.sampled_from(("pending", "failed"))),
    st.builds(
        Replay,
        channel=_channels,
        seconds=st.sampled_from((1.0, 600.0, 100_000.0)),
        task=st.none() | _tasks,
    ),
)
_surroundings = st.one_of(
    st.builds(
        Restart,
        awaits=st.none() | st.integers(0, 200),
        concurrency=_concurrency,
        order_wait=_order_wait,
    ),
    st.builds(Reload, channel=_channels, concurrency=_concurrency, order_wait=_order_wait),
    st.builds(Jump, seconds=st.sampled_from((-3600.0, -70.0, -3.0, 3.0, 70.0, 3600.0, 86400.0))),
    st.builds(Disk, full=st.booleans()),
)
_rounds = st.tuples(
    st.builds(Respond, channel=st.just("backend"), answers=_cycles, latency=_latencies),
    st.builds(Respond, channel=st.just("people"), answers=_cycles, latency=_latencies),
    st.builds(
        Reject, channel=_channels, task=_tasks, answer=st.none() | st.sampled_from(_REJECTIONS)
    ),
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
