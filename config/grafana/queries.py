"""The expressions of the dashboard.

`increase()` extrapolates to the ends of its range: it makes 3.2 of three failures, and 0 of the
first one of a series. What `total` counts is exact as of the last scrape.
"""

SELECTED = 'cluster=~"$cluster", namespace=~"$namespace", job=~"$job", instance=~"$instance"'
"""The daemons that are chosen above the panels. All matches the absence of `cluster` and
`namespace`, too.
"""

_DAEMON = "cluster, namespace, job, instance"


def metric(name: str, *conditions: str) -> str:
    """Return a selector of the chosen daemons' series."""
    return f"{name}{{{', '.join((SELECTED, *conditions))}}}"


def once(series: str, labels: str = "") -> str:
    """Return the series of `metric`, one for each set of `labels` where replicas share a store:
    each of them exports the same, or what concerns a source or channel that several serve.
    """
    replica = f"on ({_DAEMON}) {metric('watcher_replicas')}"
    kept = f"cluster, namespace, job{labels and ', ' + labels}"
    return f"(max by ({kept}) ({series} and {replica}) or {series} unless {replica})"


def rate(name: str, *conditions: str) -> str:
    """Return the increase per second of a counter, an estimate."""
    return f"rate({metric(name, *conditions)}[$__rate_interval])"


def total(name: str, *conditions: str) -> str:
    """Return series whose sums are by how much a counter has increased within the time range.

    That is its value at the end without that at the start, where a series that is absent counts as
    0, and with what would be lost between: the last values of processes that ended, and of series
    that were removed. Failed scrapes look like an end, until the same process is back. A process
    that Prometheus sees for the first time, and that is older than an hour, starts at its value.
    """
    now = metric(name, *conditions)
    before = f"{now} offset $scrape"
    parts = {
        "end": f"last_over_time({now}[$scrape:$scrape])",
        "start": f"-last_over_time({now}[$scrape:$scrape] offset $__range)",
        "ended": _summed(f"{before} and on ({_DAEMON}) ({_ENDED})"),
        "removed": _summed(f"({before} unless {now}) and on ({_DAEMON}) ({_CONTINUES})"),
        "back": "-" + _summed(f"{_last(now)} and ({now} and on ({_DAEMON}) ({_BACK}))"),
        "found": "-" + _summed(f"{now} and on ({_DAEMON}) ({_FOUND})"),
    }
    return " or ".join(
        f'label_replace({part}, "part", "{title}", "", "")' for title, part in parts.items()
    )


def last_increase(name: str, *conditions: str) -> str:
    """Return when a counter last increased within the time range, in Unix milliseconds."""
    now = metric(name, *conditions)
    grown = f"irate({now}[$__rate_interval]) > 0 and on ({_DAEMON}) {_PROCESS}"
    born = f"({now} > 0 unless {now} offset $scrape) and on ({_DAEMON}) ({_KNOWN})"
    when = f"(({grown}) or ({born})) * 0 + time()"
    return f"1000 * max_over_time(({when})[$__range:$scrape])"


def _summed(event: str) -> str:
    """Return the sum of what `event` has at each scrape, which is mostly nothing."""
    return f"sum_over_time(({event})[$__range:$scrape])"


def _last(series: str) -> str:
    """Return the last value before this scrape, which may be some failed scrapes old."""
    return f"last_over_time({series}[1h] offset $scrape)"


_PROCESS = metric("process_start_time_seconds")
_CONTINUES = f"{_PROCESS} == {_PROCESS} offset $scrape"
_ENDED = f"{_PROCESS} offset $scrape unless {_CONTINUES}"
_BACK = f"{_PROCESS} == {_last(_PROCESS)} unless {_PROCESS} offset $scrape"
_FOUND = f"{_PROCESS} < time() - 3600 unless {_last(_PROCESS)}"
_KNOWN = (
    f"{_PROCESS} offset $scrape or "
    f"({_PROCESS} > time() - 3600 unless {_PROCESS} == {_last(_PROCESS)})"
)


def quantiles(histogram: str, by: str) -> list[tuple[str, str]]:
    """Return median and 99th percentile of a histogram, with their legends."""
    return [
        (
            f"histogram_quantile({share}, sum by (le, {by}) ({rate(f'{histogram}_bucket')}))",
            f"p{name} {{{{{by}}}}}",
        )
        for share, name in ((0.5, 50), (0.99, 99))
    ]
