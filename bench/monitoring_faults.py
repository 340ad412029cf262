"""The faults of `bench.monitoring`, and what each should be reported as."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench import monitoring_acts as acts
from bench.monitoring_acts import Act
from watcher.testing.faults import answers, hangs

_DISK = "32m"
_CALM = 1_800.0
"""Seconds without a restart that prove the end of a crash loop."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that happens to one daemon from `begin` to `end`.

    Only `alert` may be sent, within `within` seconds, with a title that the regular expression
    `cause` finds, and be resolved within `resolved_within` seconds of the end; with None as
    `alert`, nothing may be. `lasts` is for how many seconds the fault goes on if not until `end`.
    `mounted` is the size of a file system of its own for the store.
    """

    name: str
    alert: str | None
    cause: str = ""
    begin: Act
    end: Act
    within: float = 300.0
    resolved_within: float = 720.0
    lasts: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    mounted: str | None = None


FAULTS = (
    Fault(
        name="source closed",
        alert="WatcherSourceDown",
        cause="connect|reach",
        begin=acts.close_source,
        end=acts.open_source,
    ),
    Fault(
        name="source hanging",
        alert="WatcherSourceDown",
        cause="respon|answer|time",
        begin=acts.upstream(hangs),
        end=acts.upstream_works,
    ),
    Fault(
        name="source sends HTML",
        alert="WatcherSourceDown",
        cause="JSON|API",
        begin=acts.upstream(answers(200, "<html>Sign in</html>")),
        end=acts.upstream_works,
    ),
    Fault(
        name="key rejected (401)",
        alert="WatcherSourceDown",
        cause="key|401",
        begin=acts.upstream(acts.error(401, "Invalid API key")),
        end=acts.upstream_works,
    ),
    Fault(
        name="tasks unknown",
        alert="WatcherSourceDown",
        cause="know|404|not found",
        begin=acts.forget_tasks,
        end=acts.know_tasks,
    ),
    Fault(
        name="429 for ever",
        alert="WatcherSourceDown",
        cause="429|limit",
        begin=acts.upstream(acts.error(429, "Rate limit exceeded", Retry_After="5")),
        end=acts.upstream_works,
    ),
    Fault(
        name="one 429, long Retry-After",
        alert="WatcherRetryAfter",
        cause="429|limit|Retry-After|pause",
        begin=acts.limit_once,
        end=acts.upstream_works,
        lasts=300.0,
    ),
    Fault(
        name="daemon killed",
        alert="WatcherGone",
        cause="down|reach|scrape",
        begin=acts.kill,
        end=acts.start,
    ),
    Fault(
        name="daemon frozen",
        alert="WatcherGone",
        cause="down|reach|scrape",
        begin=acts.freeze,
        end=acts.thaw,
    ),
    Fault(
        name="crash loop, 25 s of 60 s",
        alert="WatcherCrashLoop",
        cause="restart|crash",
        begin=acts.crash(25, 60),
        end=acts.crash_no_more,
        within=600.0,
        resolved_within=_CALM,
    ),
    Fault(
        name="crash loop, 2 of 4 min",
        alert="WatcherCrashLoop",
        cause="restart|crash",
        begin=acts.crash(120, 240),
        end=acts.crash_no_more,
        within=600.0,
        resolved_within=_CALM,
    ),
    Fault(
        name="channel dead",
        alert="WatcherOutboxOld",
        cause="backend.*connect",
        begin=acts.close_channel,
        end=acts.open_channel,
    ),
    Fault(
        name="channel rejects all (400)",
        alert="WatcherOutboxOld",
        cause="backend.*reject",
        begin=acts.receiver(400, "no"),
        end=acts.retry,
    ),
    Fault(
        name="channel rejects one task",
        alert="WatcherDeliveriesFailing",
        cause="backend",
        begin=acts.reject_one_task,
        end=acts.retry,
    ),
    Fault(
        name="channel paused",
        alert=None,  # a person wanted it: WatcherChannelPaused fires after four hours
        begin=acts.pause,
        end=acts.resume,
    ),
    Fault(
        name="channel stopped (410)",
        alert="WatcherChannelStopped",
        cause="410|disabled",
        begin=acts.receiver(410, "gone"),
        end=acts.resume,
    ),
    Fault(
        name="store full (max_size)",
        alert="WatcherStoreUnwritable",
        cause="max_size",
        begin=acts.fill_store,
        end=acts.empty_store,
        settings={"store": {"max_size": "16MiB"}},
    ),
    Fault(
        name="disk full",
        alert="WatcherStoreUnwritable",
        cause="disk",
        begin=acts.fill_disk,
        end=acts.empty_disk,
        mounted=_DISK,
    ),
    Fault(
        name="reload rejected",
        alert="WatcherReloadFailed",
        cause="configuration",
        begin=acts.configure("shouting"),
        end=acts.configure("warning"),
    ),
    Fault(
        name="discovery rejected (403)",
        alert="WatcherDiscoveryFailing",
        cause="discovery",
        begin=acts.reject_lists_of_batches,
        end=acts.upstream_works,
        settings={
            "source": {"namespace": "production"},
            "discovery": [{"list": "batches", "bucket": "bkt_products", "every": "60s"}],
        },
    ),
    Fault(
        name="tasks lost",
        alert="WatcherTasksLost",
        cause="lost",
        begin=acts.lose_tasks,
        end=acts.know_tasks,
        settings={"polling": {"lost_after": "1m"}},
    ),
    Fault(
        name="task stalled",
        alert="WatcherTasksStalled",
        cause="stalled",
        begin=acts.stall,
        end=acts.proceed,
        settings={"polling": {"stalled_after": {"*": "3m"}}},
    ),
)
