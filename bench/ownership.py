"""Seeds of the ownership simulation: `scripts/bench ownership [SEEDS [FIRST]]`."""

import os
import sys

from tests.simulation.ownership import run_ownership_seed


def main() -> int:
    """Return 1 if a rule was broken."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    broken = 0
    for seed in range(first, first + seeds):
        for problem in run_ownership_seed(seed):
            broken += 1
            sys.stdout.write(f"seed {seed}: {problem}\n")
    used = os.times()
    sys.stdout.write(f"{seeds} seeds, {broken} problems, {used.user + used.system:.0f} s of CPU\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
