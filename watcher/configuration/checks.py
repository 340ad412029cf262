"""Rules that no single section can check: contradictions are errors, probable mistakes are
warnings.
"""

from collections.abc import Callable, Iterable, Iterator

from watcher.configuration import plugins
from watcher.configuration.diagnostics import dotted, nearest
from watcher.configuration.yaml_document import Place
from watcher.core import labels
from watcher.core.errors import ConfigurationError
from watcher.core.local_address import is_loopback
from watcher.core.routing import matches, route_events
from watcher.core.selectors import (
    Mistake,
    mistake_in_events,
    mistake_in_status,
    mistake_in_status_pattern,
    shown,
)
from watcher.core.settings import Settings, StoreSettings

ALERTS = ("source.unreachable", "task.lost", "channel.failing")
"""Events without a receiver are worth a warning."""

NO_CHANNEL = (
    "no channel: nothing will be sent; set channels, WATCHER_SLACK_URL, or "
    "WATCHER_WEBHOOK_URL with WATCHER_WEBHOOK_SECRETS"
)


def contradictions(settings: Settings) -> list[tuple[Place, str]]:
    """Return place and text of each contradiction between sections."""
    problems: list[tuple[Place, str]] = []
    if settings.polling.min_interval > settings.polling.max_interval:
        problems.append((("polling", "min_interval"), "longer than polling.max_interval"))
    for number, source in enumerate(settings.sources):
        polling = source.polling_with(settings.polling)
        if source.polling is not None and polling.min_interval > polling.max_interval:
            problems.append((("sources", number, "polling"), "min_interval is above max_interval"))
    problems += [(("store", key), text) for key, text in _faults_of_store(settings.store)]
    problems += _unknown_names(settings)
    problems += [(place, mistake.text) for place, mistake in _mistakes(settings) if mistake.fatal]
    if settings.server.api_token is None and not is_loopback(settings.server.host):
        fault = "reachable from other machines; set server.api_token, or use 127.0.0.1"
        problems.append((("server", "host"), fault))
    return problems


def _faults_of_store(settings: StoreSettings) -> Iterator[tuple[str, str]]:
    try:
        plugin = plugins.load_store(settings.url)
    except ConfigurationError as error:
        yield from (("url", problem) for problem in error.problems)
    else:
        yield from plugin.faults(settings)


def _unknown_names(settings: Settings) -> list[tuple[Place, str]]:
    channels = {channel.name for channel in settings.channels}
    sources = {source.name for source in settings.sources}
    problems: list[tuple[Place, str]] = [
        (("routes", number, "channels"), f"unknown channel {name!r}{nearest(name, channels)}")
        for number, route in enumerate(settings.routes)
        for name in route.channels
        if name not in channels
    ]
    problems += _impossible_rules(settings)
    problems += [
        (
            ("discovery", number, "source"),
            f"unknown source {rule.source!r}{nearest(rule.source, sources)}",
        )
        for number, rule in enumerate(settings.discovery)
        if rule.source is not None and rule.source not in sources
    ]
    return problems


def _impossible_rules(settings: Settings) -> Iterator[tuple[Place, str]]:
    """Yield what discovery rules demand of sources that cannot do it."""
    by_name = {source.name: source for source in settings.sources}
    for number, rule in enumerate(settings.discovery):
        source = by_name.get(rule.source or settings.sources[0].name)
        fault = None if source is None else source.discovery_fault(rule)
        if fault is not None:
            yield ("discovery", number, fault[0]), fault[1]


def _mistakes(settings: Settings) -> Iterator[tuple[Place, Mistake]]:
    """Yield what is wrong with selectors of events, statuses, sources and labels."""
    for number, route in enumerate(settings.routes):
        place = ("routes", number)
        for key, texts, check in (
            ("events", route.events, mistake_in_events),
            ("statuses", route.statuses, mistake_in_status),
            ("previous_statuses", route.previous_statuses, mistake_in_status_pattern),
        ):
            yield from _mistaken((*place, key), texts, check)
        yield from _about_sources((*place, "sources"), route.sources, settings)
        for name, value in route.labels.items():
            if not 1 <= len(name) <= labels.NAME_LENGTH or len(value) > labels.VALUE_LENGTH:
                text = f"no watch can have this label: names have 1 to {labels.NAME_LENGTH}"
                text += f" characters, values at most {labels.VALUE_LENGTH}"
                yield (*place, "labels"), Mistake(text=text, fatal=True)
    for number, rule in enumerate(settings.discovery):
        statuses = () if rule.status is None else (rule.status,)
        yield from _mistaken(("discovery", number, "status"), statuses, mistake_in_status)
    for number, channel in enumerate(settings.channels):
        mentions = getattr(channel, "mention_on", None)
        yield from _mistaken(("channels", number, "mention_on"), mentions, mistake_in_events)


def _mistaken(
    place: Place, texts: Iterable[str] | None, check: Callable[[str], Mistake | None]
) -> Iterator[tuple[Place, Mistake]]:
    for text in texts or ():
        if (mistake := check(text)) is not None:
            yield place, mistake


def _about_sources(
    place: Place, patterns: Iterable[str] | None, settings: Settings
) -> Iterator[tuple[Place, Mistake]]:
    names = [source.name for source in settings.sources]
    for pattern in patterns or ():
        if not any(matches([pattern], name) for name in names):
            text = f"{shown(pattern)} matches no source{nearest(pattern, names)}"
            yield place, Mistake(text=text, fatal=True)


def warnings(settings: Settings) -> list[str]:
    """Return one line for each setting that is allowed but probably a mistake."""
    routes = settings.effective_routes
    patterns = [route_events(route) for route in routes]
    unrouted = [
        kind
        for kind in ALERTS
        if not any(events is None or matches(events, kind) for events in patterns)
    ]
    lines = []
    if not settings.channels:
        lines.append(NO_CHANNEL)
    elif unrouted:
        lines.append(f"no route receives {', '.join(unrouted)}: failures would go unnoticed")
    used = {channel for route in routes for channel in route.channels}
    lines += [
        f"no route leads to channel {channel.name!r}"
        for channel in settings.channels
        if channel.name not in used
    ]
    lines += [
        f"{dotted(place)}: {mistake.text}"
        for place, mistake in _mistakes(settings)
        if not mistake.fatal
    ]
    lines += [
        f"source {source.name!r}: {warning}"
        for source in settings.sources
        for warning in source.warnings()
    ]
    lines += [
        f"channel {channel.name!r}: {warning}"
        for channel in settings.channels
        for warning in channel.warnings()
    ]
    return lines
