"""Run seeds: `python -m tests.simulation SEED…` prints what happened in each."""

import sys

from tests.simulation.run import run_seed


def main() -> int:
    """Return 1 if a rule was broken."""
    failed = 0
    for seed in map(int, sys.argv[1:]):
        outcome = run_seed(seed, traced=True)
        sys.stdout.write("\n".join([*outcome.lines, ""]))
        verdict = "\n".join(outcome.problems) or "every rule held"
        sys.stdout.write(
            f"seed {seed}: {outcome.seconds:.0f} virtual s, {outcome.requests} requests,"
            f" {outcome.webhooks} webhooks, {outcome.kills} kills: {verdict}\n"
        )
        failed += bool(outcome.problems)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
