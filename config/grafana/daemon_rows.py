"""The store, and the process: what does the watcher cost, and what disturbs it?"""

from panels import COUNT, GOOD_IS_ZERO, NEUTRAL, Json, bars, graph, rising, stat, timeline
from queries import metric, once, rate, total

STORE: list[Json] = [
    timeline(
        "Store",
        "NOT WRITABLE while events cannot be stored. Nothing that was stored is lost; changes are "
        "detected again later.",
        (
            f"max by (instance) ({metric('watcher_store_unwritable')})",
            "{{instance}}",
        ),
        states=[("WRITABLE", "green"), ("NOT WRITABLE", "red")],
        width=12,
    ),
    timeline(
        "Why the store is not writable",
        "The reason, while events cannot be stored.",
        (metric("watcher_store_unwritable"), "{{instance}} {{reason}}"),
        states=[("", "transparent"), ("NOT WRITABLE", "red")],
        width=12,
    ),
    stat(
        "Failed operations",
        "Store operations that failed within the time range, exact as of the last scrape.",
        COUNT,
        (f"sum by (instance) ({total('watcher_store_errors_total')})", "{{instance}}"),
        steps=GOOD_IS_ZERO,
        width=8,
    ),
    stat(
        "Used",
        "Share of store.max_size, as of the last scrape. Above four fifths, ended watches and "
        "events are removed early.",
        "percentunit",
        (
            f"{metric('watcher_store_bytes')} / {metric('watcher_store_limit_bytes')}",
            "{{instance}}",
        ),
        steps=rising(0.8, 0.9),
        width=8,
    ),
    stat(
        "Free space",
        "Free space on the file system of the store, as of the last scrape.",
        "bytes",
        (metric("watcher_store_free_bytes"), "{{instance}}"),
        steps=NEUTRAL,
        width=8,
    ),
    graph(
        "Size",
        "Size of the store, and what store.max_size allows.",
        "bytes",
        (once(metric("watcher_store_bytes")), "{{instance}} used"),
        (once(metric("watcher_store_limit_bytes")), "{{instance}} limit"),
        width=12,
    ),
    graph(
        "Duration of transactions",
        "Time until a transaction is on disk: median and 99th percentile, estimates from buckets.",
        "s",
        *(
            (
                f"histogram_quantile({share}, sum by (le, instance) "
                f"({rate('watcher_store_commit_duration_seconds_bucket')}))",
                f"{{{{instance}}}} p{name}",
            )
            for share, name in ((0.5, 50), (0.99, 99))
        ),
        width=12,
    ),
]

REPLICAS: list[Json] = [
    graph(
        "Live replicas",
        "Replicas that share the store, as each of them sees it. Empty without a shared store.",
        "short",
        (metric("watcher_replicas"), "{{instance}}"),
    ),
    graph(
        "Slices by replica",
        "Parts of sources and channels that each replica serves, and those without an owner. Empty "
        "without a shared store.",
        "short",
        (metric("watcher_owned_slices"), "{{instance}}"),
        (f"max({metric('watcher_unowned_slices')})", "without an owner"),
    ),
    bars(
        "Rejected writes in the time range",
        "Writes for a slice that another replica had taken over, exact as of the last scrape. "
        "Empty without a shared store.",
        (f"sum by (instance) ({total('watcher_fenced_writes_total')})", "{{instance}}"),
        steps=rising(1, 10),
    ),
]

PROCESS: list[Json] = [
    timeline(
        "Daemons",
        "UP while Prometheus can scrape the daemon.",
        (metric("up"), "{{instance}}"),
        states=[("DOWN", "red"), ("UP", "green")],
    ),
    stat(
        "Daemons down",
        "Daemons that Prometheus cannot scrape, as of the last scrape.",
        COUNT,
        (f"sum({metric('up')} == bool 0)", ""),
        steps=GOOD_IS_ZERO,
    ),
    stat(
        "Restarts",
        "Changes of the process's start time within the time range. Two restarts between two "
        "scrapes count once.",
        COUNT,
        (
            f"sum by (instance) (changes({metric('process_start_time_seconds')}[$__range]))",
            "{{instance}}",
        ),
        steps=rising(1, 3),
        width=5,
    ),
    stat(
        "Running for",
        "Time since the start of the process.",
        "s",
        (f"time() - {metric('process_start_time_seconds')}", "{{instance}}"),
        steps=NEUTRAL,
        width=5,
    ),
    stat(
        "Last reload",
        "1 if the last reload of the configuration succeeded, 0 if the daemon runs with the one "
        "before.",
        "none",
        (metric("watcher_config_last_reload_successful"), "{{instance}}"),
        steps=[(None, "red"), (1, "green")],
        width=5,
    ),
    stat(
        "Version",
        "Running version.",
        "none",
        (metric("watcher_build_info"), "{{instance}}: {{version}}"),
        steps=NEUTRAL,
        width=5,
        text="name",
    ),
    graph(
        "CPU",
        "Share of one core, an estimate. The daemon uses at most one.",
        "percentunit",
        (rate("process_cpu_seconds_total"), "{{instance}}"),
    ),
    graph(
        "Memory",
        "Resident memory of the process.",
        "bytes",
        (metric("process_resident_memory_bytes"), "{{instance}}"),
    ),
    graph(
        "Open files",
        "Connections and files of the store.",
        "short",
        (metric("process_open_fds"), "{{instance}}"),
    ),
    bars(
        "Unexpected errors in the time range",
        "Errors that a component did not expect, exact as of the last scrape. The log has each "
        "traceback.",
        (
            f"sum by (component) ({total('watcher_unexpected_errors_total')})",
            "{{component}}",
        ),
        steps=GOOD_IS_ZERO,
        width=12,
    ),
    bars(
        "Heartbeats in the time range",
        "Heartbeats that were due, exact as of the last scrape. `suppressed`: the watcher was not "
        "healthy. All are 0 where none is configured.",
        (f"sum by (outcome) ({total('watcher_heartbeats_total')})", "{{outcome}}"),
        steps=NEUTRAL,
        width=12,
    ),
]
