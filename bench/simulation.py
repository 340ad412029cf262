"""Runs many seeds of the simulation on every core, and prints those that broke a rule.

python -m bench.simulation [SEEDS [FIRST]]
"""

import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.run import Outcome, run_seed

SEEDS = 20_000
CHUNK = 10


def main() -> int:
    """Return 1 if a seed failed."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    began = time.perf_counter()
    totals: Counter[str] = Counter()
    failed: list[Outcome] = []
    with ProcessPoolExecutor(os.cpu_count()) as processes:
        for outcome in processes.map(run_seed, range(first, first + count), chunksize=CHUNK):
            for name in ("seconds", "requests", "webhooks", "kills"):
                totals[name] += getattr(outcome, name)
            if outcome.problems:
                failed.append(outcome)
                print(f"seed {outcome.seed}: {outcome.problems[0]}", flush=True)
    seconds = time.perf_counter() - began
    print(
        f"{count} seeds in {seconds:.0f} s: {totals['seconds'] / 86400:.1f} virtual days,"
        f" {totals['requests']} requests, {totals['webhooks']} webhooks, {totals['kills']} kills;"
        f" {len(failed)} seeds failed"
    )
    print("A seed runs again with: python -m tests.simulation SEED")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
