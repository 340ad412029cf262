"""More tasks than a page holds: how soon a change is delivered, and what that costs; beside it, in
the same run, the same with pages of all tasks, as upstream rejects conditions on the status there.

    python -m bench.changes [short] [NAME…]

NAME is one of those in the first column; without one, all of them run, in some
twenty-five minutes. `short` measures for half of the time: it shows that everything works, but a
million tasks are not all covered by then.
"""

import json
import math
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.polling import delays, metric, prefill, site
from bench.processes import cpu_seconds, percentile, resident_mebibytes, until_ready

MILLION = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Case:
    """`quiet` are the seconds before the first change, `patience` those in which the last changes
    are to be delivered. `ends` is whether all tasks end within ten seconds instead.
    """

    name: str
    goal: str
    tasks: int
    limit: int | None = 60
    changes_a_second: float = 8.0
    ends: bool = False
    quiet: float = 60.0
    measured_for: float = 120.0
    patience: float = 45.0


CASES = (
    Case(name="30k", tasks=30_000, goal="p50 3 s, p99 6 s"),
    Case(name="30k-10", tasks=30_000, limit=10, quiet=220, patience=60, goal="p99 35 s"),
    Case(name="3k", tasks=3000, goal="p50 2 s, p99 4 s"),
    Case(name="300k", tasks=300_000, quiet=150, patience=60, goal="p99 45 s"),
    Case(name="ending", tasks=10_000, ends=True, measured_for=15, goal="20 s after the last"),
    Case(
        name="million",
        tasks=MILLION,
        limit=None,
        changes_a_second=0,
        quiet=240,
        measured_for=90,
        patience=0,
        goal="5 % of a core, 300 MiB",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Site:
    """A daemon, its upstream and its receiver; `conditions` is whether upstream accepts them."""

    folder: Path
    url: str
    pid: int

    @property
    def report(self) -> Mapping[str, Any]:
        return dict(json.loads((self.folder / "report").read_text()))


@contextmanager
def run(case: Case, *, conditions: bool) -> Iterator[Site]:
    """Run a site of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prefill(folder, case.tasks)
        answers = "yes" if conditions else "no"
        changes = 0 if case.ends else case.changes_a_second
        does = (changes, case.tasks, case.quiet, answers, 10 if case.ends else 0)
        with ExitStack() as stack:
            process, url = stack.enter_context(site(folder, case.limit, does))
            until_ready(url)
            running = Site(folder=folder, url=url, pid=process.pid)
            yield running
            stack.close()
            print(row(case, running, conditions=conditions), flush=True)


def row(case: Case, site: Site, *, conditions: bool) -> str:
    """Return what has come of a case."""
    way = "changes" if conditions else "pages"
    return f"{case.name:<8} {way:<8} {delivered(case, site)}"


def delivered(case: Case, site: Site) -> str:
    """Return how soon changes were delivered, if any, and what upstream has seen."""
    report = site.report
    text = f"{report['rejected']:3} × 429"
    if case.ends:
        return f"{text}  {_ended(site, report)}"
    if not case.changes_a_second:
        return f"{text}  longest between two requests {report['longest_gap']:.0f} s"
    seconds = delays(site.folder, report, case.patience)
    at_half, at_most = (_seconds(percentile(seconds, share)) for share in (0.5, 0.99))
    return f"{text}  p50 {at_half}  p99 {at_most}  of {len(seconds)} changes"


def _seconds(value: float) -> str:
    return "  none" if math.isinf(value) else f"{value:4.1f} s"


def _ended(site: Site, report: Mapping[str, Any]) -> str:
    lines = (site.folder / "times").read_text().splitlines()
    arrived = [float(line.split()[1]) for line in lines if line.endswith(" COMPLETED")]
    last = max(at for _, _, at in report["changes"])
    everything = len(arrived) == len(report["changes"])
    after = max(arrived) - last if everything else math.inf
    return f"{len(arrived)} of {len(report['changes'])} delivered, the last {_seconds(after)} after"


def measure(case: Case) -> None:
    """Run a case both ways at once, and print what it has cost."""
    with run(case, conditions=True) as new, run(case, conditions=False) as old:
        time.sleep(case.quiet)
        before = {site: _cost(site) for site in (new, old)}
        time.sleep(case.measured_for)
        for way, site in (("changes", new), ("pages", old)):
            used, sent = (now - then for now, then in zip(_cost(site), before[site], strict=True))
            print(
                f"{case.name:<8} {way:<8} {used / case.measured_for:6.1%} of a core"
                f"  RSS {resident_mebibytes(site.pid):4.0f} MiB"
                f"  {sent / case.measured_for * 60:5.0f} requests a minute"
                f"  {metric(site.url, 'watcher_list_ids_per_request'):6.0f} IDs a request"
            )
        time.sleep(case.patience)


def _cost(site: Site) -> tuple[float, float]:
    return cpu_seconds(site.pid), metric(site.url, "watcher_upstream_requests_total")


def shortened(case: Case) -> Case:
    """Return a case that takes half of the time."""
    times = {name: getattr(case, name) / 2 for name in ("quiet", "measured_for", "patience")}
    return Case(**{**vars(case), **times})


def main(arguments: Sequence[str]) -> None:
    """Measure the cases that are named."""
    names = [name for name in arguments if name != "short"]
    for case in CASES:
        if not names or case.name in names:
            limit = "no limit" if case.limit is None else f"{case.limit} requests a minute"
            print(f"{case.name}: {case.tasks} running tasks, {limit}; the goal: {case.goal}")
            measure(shortened(case) if "short" in arguments else case)


if __name__ == "__main__":
    main(sys.argv[1:])
