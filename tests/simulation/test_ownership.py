"""Replicas share slices through crashes, pauses, lost commits and partitions, and as they join."""

import pytest

from tests.simulation.ownership import run_joining_seed, run_ownership_seed

SEEDS = 60


def test_each_slice_has_one_owner_and_is_never_without_one_for_long() -> None:
    broken = {seed: problems for seed in range(SEEDS) if (problems := run_ownership_seed(seed))}

    assert broken == {}


@pytest.mark.parametrize("hints", [1.0, 0.0])
def test_a_replica_that_joins_has_its_share_soon_and_no_slice_moves_twice(hints: float) -> None:
    broken = {
        seed: problems
        for seed in range(SEEDS // 3)
        if (problems := run_joining_seed(seed, hints=hints))
    }

    assert broken == {}
