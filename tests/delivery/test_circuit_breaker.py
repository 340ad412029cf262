"""The breaker opens after failures in a row of more than one delivery."""

from watcher.delivery.circuit_breaker import BREAKER_AFTER, CircuitBreaker


def failed(*delivery_ids: int, requests: int = BREAKER_AFTER) -> CircuitBreaker:
    breaker = CircuitBreaker()
    for delivery_id in delivery_ids:
        breaker.delivery_failed(delivery_id)
    for _ in range(requests):
        breaker.request_failed()
    return breaker


def test_it_opens_after_ten_failures_of_several_deliveries() -> None:
    assert not failed(1, 2, requests=BREAKER_AFTER - 1).is_open
    assert failed(1, 2).is_open


def test_one_delivery_alone_opens_no_breaker() -> None:
    assert not failed(1, requests=100).is_open


def test_a_success_closes_it() -> None:
    breaker = failed(1, 2)
    breaker.reset()
    assert not breaker.is_open
    assert breaker.none_failed


def test_probes_become_rarer_up_to_thirty_seconds() -> None:
    intervals = [failed(1, 2, requests=BREAKER_AFTER + n).probe_interval() for n in range(8)]
    assert intervals == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
