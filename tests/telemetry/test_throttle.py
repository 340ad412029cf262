"""The log throttle."""

from watcher.telemetry.throttle import LogThrottle


def test_a_topic_is_logged_once_per_interval() -> None:
    now = 0.0
    throttle = LogThrottle(lambda: now, interval=10.0)
    assert throttle.ready("store")
    assert not throttle.ready("store")
    assert throttle.ready("timeout")
    now = 9.9
    assert not throttle.ready("store")
    now = 10.0
    assert throttle.ready("store")
