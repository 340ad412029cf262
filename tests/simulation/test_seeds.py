"""The daemon in virtual time under the faults of many seeds. docs/simulation.md describes it.

A failing seed prints itself; `python -m tests.simulation SEED` shows what happened in it.
"""

import os
import subprocess
import sys

import pytest

from tests.simulation.run import run_seed

SEEDS = 200
CHUNK = 25


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_every_rule_holds(first: int) -> None:
    broken = [
        f"seed {seed}: {problems[0]}"
        for seed in range(first, first + CHUNK)
        if (problems := run_seed(seed).problems)
    ]
    assert not broken, "\n".join(broken)


def test_a_seed_replays_exactly() -> None:
    """Another process, which hashes text differently, prints the same."""
    command = [sys.executable, "-m", "tests.simulation", "1", "2", "3"]
    printed = [
        subprocess.run(
            command, capture_output=True, check=True, env={**os.environ, "PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    ]
    assert printed[0] == printed[1]
    assert printed[0].count(b"every rule held") == 3
