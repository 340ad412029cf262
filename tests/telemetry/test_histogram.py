"""The bulk histogram."""

from watcher.telemetry.histogram import BulkHistogram


def test_buckets_are_cumulative_and_include_their_upper_bound() -> None:
    histogram = BulkHistogram("lag_seconds", "Lag in seconds.", (1.0, 5.0), "source")
    series = histogram.series("mixpeek")
    series.observe(1.0, 1000)
    series.observe(1.1, 10)
    series.observe(60.0, 1)

    (family,) = histogram.collect()
    values = {
        (sample.name, sample.labels.get("le")): sample.value
        for sample in family.samples
        if sample.labels["source"] == "mixpeek"
    }
    assert values == {
        ("lag_seconds_bucket", "1.0"): 1000,
        ("lag_seconds_bucket", "5.0"): 1010,
        ("lag_seconds_bucket", "+Inf"): 1011,
        ("lag_seconds_count", None): 1011,
        ("lag_seconds_sum", None): 1000 + 11 + 60,
    }


def test_a_label_value_has_one_series() -> None:
    histogram = BulkHistogram("lag_seconds", "Lag in seconds.", (1.0,), "source")
    assert histogram.series("mixpeek") is histogram.series("mixpeek")
    assert histogram.series("mixpeek") is not histogram.series("other")
