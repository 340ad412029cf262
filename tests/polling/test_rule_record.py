"""How the runs of a discovery rule ended."""

from watcher.core.settings import DiscoverySettings
from watcher.polling.rule_record import RuleRecord


def test_what_was_found_last_is_that_of_the_last_run_that_found_something() -> None:
    rule = DiscoverySettings.model_validate({"list": "tasks", "every": "60s"})
    record = RuleRecord("0 tasks", "mixpeek", rule)
    assert record.status().last_found is None
    for new in (2, 1):
        record.found(new)
    record.succeeded(10.0)
    record.found(0)
    record.succeeded(70.0)
    shown = record.status()
    assert (shown.last_found, shown.last_found_at, shown.last_run_at) == (3, 10.0, 70.0)
