"""Metric families with labels on one registry, whose series can be removed again."""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from watcher.core.texts import label
from watcher.telemetry.histogram import BulkHistogram, BulkSeries

Series = TypeVar("Series")


_UNITS = ("seconds", "bytes")


class _RemovesSeries(Protocol):
    def remove_by_labels(self, labels: dict[str, str]) -> None: ...


class _ForgetsSeries(Protocol):
    def forget(self, name: str, value: str) -> None: ...


class Family(Generic[Series]):
    """A metric family with labels, whose values have a bound, wherever they come from.

    `series` returns the series of these label values, created on first use.
    """

    def __init__(
        self, family: _RemovesSeries, series: Callable[..., Series], names: tuple[str, ...]
    ) -> None:
        self._family = family
        self._series = series
        self._names = names

    def labels(self, *values: str) -> Series:
        """Return the series of these label values: `other` in place of what cannot be one."""
        return self._series(*map(label, values))

    def forget(self, name: str, value: str) -> None:
        """Remove all series in which the label `name` has this value."""
        if name in self._names:
            self._family.remove_by_labels({name: label(value)})


class Families:
    """Creates metric families with labels on one registry, and removes series from them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._families: list[_ForgetsSeries] = []

    def counter(self, name: str, help_text: str, *labels: str) -> Family[Counter]:
        counter = Counter(name, help_text, labels, registry=self._registry, unit=unit_of(name))
        return self._kept(Family(counter, counter.labels, labels))

    def gauge(self, name: str, help_text: str, *labels: str) -> Family[Gauge]:
        gauge = Gauge(name, help_text, labels, registry=self._registry, unit=unit_of(name))
        return self._kept(Family(gauge, gauge.labels, labels))

    def histogram(
        self, name: str, help_text: str, buckets: tuple[float, ...], *labels: str
    ) -> Family[Histogram]:
        unit = unit_of(name)
        histogram = Histogram(
            name, help_text, labels, buckets=buckets, registry=self._registry, unit=unit
        )
        return self._kept(Family(histogram, histogram.labels, labels))

    def bulk_histogram(
        self, name: str, help_text: str, buckets: tuple[float, ...], label_name: str
    ) -> Family[BulkSeries]:
        histogram = BulkHistogram(name, help_text, buckets, label_name, unit_of(name))
        self._registry.register(histogram)
        return self._kept(Family(histogram, histogram.series, (label_name,)))

    def forget(self, name: str, value: str) -> None:
        """Remove all series in which the label `name` has this value."""
        for family in self._families:
            family.forget(name, value)

    def _kept(self, family: Family[Series]) -> Family[Series]:
        self._families.append(family)
        return family


def unit_of(name: str) -> str:
    """Return the unit that ends the name of a metric; empty if it has none."""
    last = name.removesuffix("_total").rpartition("_")[2]
    return last if last in _UNITS else ""
