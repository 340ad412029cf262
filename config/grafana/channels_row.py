"""Channels: what is not delivered, and why?"""

from panels import COUNT, GOOD_IS_ZERO, NEUTRAL, Json, bars, graph, stat, timeline
from queries import metric, once, quantiles, rate, total


def _held(kind: str, number: int) -> str:
    held = metric("watcher_channel_held", f'kind="{kind}"')
    return f"{held} * {number}"


# Each has a label of its own, so that `or` keeps them all.
_STATES = " or ".join(
    (
        metric("watcher_channel_failing"),
        f"{metric('watcher_channel_breaker_open')} * 2",
        _held("paused", 3),
        _held("stopped", 4),
        _held("off", 5),
    )
)

CHANNELS: list[Json] = [
    timeline(
        "Channels",
        "FAILING: nothing was accepted since an attempt failed. BREAKER OPEN: only probes are "
        "sent. PAUSED by an operator, STOPPED by the receiver, OFF after days of failures.",
        (f"max by (instance, channel) ({_STATES})", "{{instance}} {{channel}}"),
        states=[
            ("DELIVERING", "green"),
            ("FAILING", "yellow"),
            ("BREAKER OPEN", "orange"),
            ("PAUSED", "blue"),
            ("STOPPED", "red"),
            ("OFF", "dark-red"),
        ],
        width=12,
    ),
    timeline(
        "Why channels fail",
        "The reason of the first failed attempt since the channel last accepted an event.",
        (
            f"max by (instance, channel, reason) ({metric('watcher_channel_failing')})",
            "{{instance}} {{channel}}: {{reason}}",
        ),
        states=[("", "transparent"), ("FAILING", "red")],
        width=12,
    ),
    stat(
        "Suspended channels",
        "Channels that are paused, stopped or off, as of the last scrape.",
        COUNT,
        (f"sum({once(metric('watcher_channel_held'), 'channel, kind')})", ""),
        steps=GOOD_IS_ZERO,
        width=6,
    ),
    stat(
        "Open circuit breakers",
        "Channels to which only probes are sent, as of the last scrape.",
        COUNT,
        (f"sum({once(metric('watcher_channel_breaker_open'), 'channel')})", ""),
        steps=GOOD_IS_ZERO,
        width=6,
    ),
    stat(
        "Since the last delivery",
        "The longest time since a successful delivery, by channel. Grows if there are no events.",
        "s",
        (
            "max by (channel) (time() - "
            f"({once(metric('watcher_last_delivery_timestamp_seconds'), 'channel')} > 0))",
            "{{channel}}",
        ),
        steps=NEUTRAL,
        width=12,
    ),
    bars(
        "Attempts in the time range",
        "Attempts by channel and outcome, exact as of the last scrape. `retried`: will be retried; "
        "`failed`: ended permanently and is kept.",
        (
            f"sum by (channel, outcome) ({total('watcher_deliveries_total')})",
            "{{channel}} {{outcome}}",
        ),
        steps=NEUTRAL,
    ),
    bars(
        "Kept deliveries",
        "Deliveries in the store that are pending, or have failed and are sent again only by "
        "watcher retry or watcher replay; as of the last scrape.",
        (
            "sum by (channel, state) "
            f"({once(metric('watcher_deliveries_kept'), 'channel, state')})",
            "{{channel}} {{state}}",
        ),
        steps=NEUTRAL,
    ),
    bars(
        "Events in the time range",
        "Events that were stored, by type, whether or not a channel gets them; exact as of the "
        "last scrape.",
        (f"sum by (type) ({total('watcher_events_total')}) > 0", "{{type}}"),
        steps=NEUTRAL,
    ),
    graph(
        "Pending by channel",
        "Deliveries that are stored and not delivered yet.",
        "short",
        (
            f"sum by (channel) ({once(metric('watcher_outbox_pending'), 'channel')})",
            "{{channel}}",
        ),
    ),
    graph(
        "Oldest pending by channel",
        "Age of the oldest pending delivery.",
        "s",
        (f"max by (channel) ({metric('watcher_outbox_oldest_seconds')})", "{{channel}}"),
    ),
    graph(
        "Event latency",
        "Time from observation to delivery: median and 99th percentile, estimates from buckets.",
        "s",
        *quantiles("watcher_event_latency_seconds", "channel"),
    ),
    graph(
        "Attempts by outcome",
        "Attempts per second, an estimate. `retried`: will be retried; `failed`: ended permanently "
        "and is kept.",
        "ops",
        (
            f"sum by (channel, outcome) ({rate('watcher_deliveries_total')})",
            "{{channel}} {{outcome}}",
        ),
    ),
    graph(
        "Attempt duration",
        "Median and 99th percentile, estimates from buckets.",
        "s",
        *quantiles("watcher_delivery_duration_seconds", "channel"),
    ),
    graph(
        "Backlog size by channel",
        "Size of the pending deliveries in the store. All channels together may take half of it.",
        "bytes",
        (f"sum by (channel) ({once(metric('watcher_outbox_bytes'), 'channel')})", "{{channel}}"),
    ),
    bars(
        "Failed for want of space in the time range",
        "Deliveries that failed because the backlog exceeded the channel's share of the store, "
        "exact as of the last scrape.",
        (f"sum by (channel) ({total('watcher_outbox_overflowed_total')})", "{{channel}}"),
        steps=GOOD_IS_ZERO,
        width=24,
    ),
]
