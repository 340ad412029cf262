"""A Prometheus histogram that records one value many times at the cost of one observation."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

from prometheus_client.metrics_core import HistogramMetricFamily
from prometheus_client.registry import Collector


class BulkSeries:
    """One series of a `BulkHistogram`."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float, count: int) -> None:
        """Record `value` `count` times."""
        self.counts[bisect_left(self._bounds, value)] += count
        self.sum += value * count


class BulkHistogram(Collector):
    """A histogram for pages of a thousand tasks, which share a few values.

    `label` is the name of its only label; `bounds` are ascending and exclude infinity.
    """

    def __init__(
        self, name: str, help_text: str, bounds: Sequence[float], label: str, unit: str = ""
    ) -> None:
        self._name = name
        self._help_text = help_text
        self._bounds = bounds
        self._label = label
        self._unit = unit
        self._series: dict[str, BulkSeries] = {}

    def series(self, label_value: str) -> BulkSeries:
        """Return the series with this label value, created on first use."""
        return self._series.setdefault(label_value, BulkSeries(self._bounds))

    def remove_by_labels(self, labels: Mapping[str, str]) -> None:
        """Remove the series with this label value, as the client's own metrics do."""
        self._series.pop(labels[self._label], None)

    def collect(self) -> Iterable[HistogramMetricFamily]:
        family = HistogramMetricFamily(
            self._name, self._help_text, labels=[self._label], unit=self._unit
        )
        bounds = [*(str(bound) for bound in self._bounds), "+Inf"]
        for label_value, series in self._series.items():
            buckets = [*zip(bounds, accumulate(series.counts), strict=True)]
            family.add_metric([label_value], buckets, series.sum)
        return [family]
