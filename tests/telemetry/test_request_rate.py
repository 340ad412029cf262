"""The number of requests of the last minute."""

from watcher.telemetry.request_rate import RequestRate


def test_requests_count_for_a_minute() -> None:
    now = 1000.0
    rate = RequestRate(lambda: now)
    rate.count()
    rate.count()
    now = 1030.0
    rate.count()
    assert rate.last_minute() == 3
    now = 1059.9
    assert rate.last_minute() == 3
    now = 1060.0
    assert rate.last_minute() == 1
    now = 5000.0
    assert rate.last_minute() == 0
