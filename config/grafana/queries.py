"""The expressions of the dashboard.

`increase()` extrapolates to the ends of its range: it makes 3.2 of three failures, and 0 of the
first one of a series. What `total` counts is exact as of the last scrape.
"""

SELECTED = 'cluster=~"$cluster", namespace=~"$namespace", job=~"$job", instance=~"$instance"'
"""The daemons that are chosen above the panels. All matches the absence of `cluster` and
`namespace`, too.
"""

_DAEMON = "cluster, namespace, job, instance"
_MEMORY = "1h"


def metric(name: str, *conditions: str) -> str:
    """Return a selector of the chosen daemons' series."""
    return f"{name}{{{', '.join((SELECTED, *conditions))}}}"


def rate(name: str, *conditions: str) -> str:
    """Return the increase per second of a counter, an estimate."""
    return f"rate({metric(name, *conditions)}[$__rate_interval])"


def total(name: str, *conditions: str) -> str:
    """Return by how much a counter has increased within the time range, exactly."""
    return f"sum_over_time(({_step(name, *conditions)})[$__range:$scrape])"


def last_increase(name: str, *conditions: str) -> str:
    """Return when a counter last increased within the time range, in Unix milliseconds."""
    when = f"(({_step(name, *conditions)}) > 0) * 0 + time()"
    return f"1000 * max_over_time(({when})[$__range:$scrape])"


def _step(name: str, *conditions: str) -> str:
    """Return by how much a counter has increased since the scrape before.

    It continues from its value in the daemon's last scrape that did not fail, if that was the same
    process and had the series. Otherwise it starts from 0, unless Prometheus has seen neither the
    daemon before nor its start: it may have counted for days.
    """
    now, process = metric(name, *conditions), metric("process_start_time_seconds")
    in_last_scrape = f"{_last_seen(now)} == on ({_DAEMON}) group_left () {_last_seen(process)}"
    continued = (
        f"{_before(now)} <= {now} and ({in_last_scrape})"
        f" and on ({_DAEMON}) {process} == {_before(process)}"
    )
    seen = f"({_before(process)} or {process} > time() - 3600)"
    return f"{now} - (({continued}) or ({now} * 0 and on ({_DAEMON}) {seen}))"


def _before(series: str) -> str:
    """Return the last value before this scrape."""
    return f"last_over_time({series}[{_MEMORY}] offset $scrape)"


def _last_seen(series: str) -> str:
    """Return the time of the last scrape before this one that had the series."""
    return f"last_over_time(timestamp({series})[{_MEMORY}:$scrape] offset $scrape)"


def quantiles(histogram: str, by: str) -> list[tuple[str, str]]:
    """Return median and 99th percentile of a histogram, with their legends."""
    return [
        (
            f"histogram_quantile({share}, sum by (le, {by}) ({rate(f'{histogram}_bucket')}))",
            f"p{name} {{{{{by}}}}}",
        )
        for share, name in ((0.5, 50), (0.99, 99))
    ]
