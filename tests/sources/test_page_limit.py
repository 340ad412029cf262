"""How many IDs a request may hold, learnt and forgotten."""

from watcher.sources.mixpeek.page_limit import PageLimit


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_limit_is_approached_from_below_and_tried_ever_less_often() -> None:
    clock = Clock()
    limit = PageLimit(clock)
    assert limit.size == 1000
    limit.failed(1000, works=500)
    assert limit.size == 500
    trials: list[tuple[float, int]] = []
    while clock.now < 3600:
        clock.now += 1
        if (size := limit.size) > limit.works:
            trials.append((clock.now, size))
            if size <= 700:
                limit.worked(size)
            else:
                limit.failed(size, works=size // 2)
    assert 600 <= limit.works <= 700
    assert len(trials) < 15


def test_a_limit_that_is_gone_is_forgotten() -> None:
    clock = Clock()
    limit = PageLimit(clock)
    limit.failed(1000, works=15)
    limit.worked(10)
    for _ in range(300):
        clock.now += 1
        limit.worked(limit.size)
    assert (limit.size, limit.fails) == (1000, None)


def test_one_trial_at_a_time() -> None:
    clock = Clock()
    limit = PageLimit(clock)
    limit.failed(1000, works=200)
    clock.now = 60.0
    assert limit.size == 600
    limit.requested(600)
    assert limit.size == 200
    limit.worked(600)
    assert limit.size == 600


def test_a_failure_below_the_limit_lowers_it() -> None:
    limit = PageLimit(lambda: 0.0)
    limit.failed(1000, works=500)
    limit.failed(400, works=200)
    assert limit.size == 200
    limit.failed(100, works=100)
    assert limit.size == 200
