"""Replicas share slices through crashes, pauses, lost commits and partitions."""

from tests.simulation.ownership import run_ownership_seed

SEEDS = 60


def test_each_slice_has_one_owner_and_is_never_without_one_for_long() -> None:
    broken = {seed: problems for seed in range(SEEDS) if (problems := run_ownership_seed(seed))}

    assert broken == {}
