"""Hostile strings through every surface on which text from outside appears.

    python -m bench.hostile_texts [STRINGS [SEED]]

Prints for each surface how many texts were looked at, and how many of them had a live control
character, mention or link, an extra line, or led to a foreign route: there must be none.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from random import Random

from bench import hostile_messages, hostile_surfaces
from bench.hostile_strings import KINDS, Tally, strings

STRINGS = 100_000
BATCH = 200
"""Strings of one page of a list, one log, one scrape."""

Surface = Callable[[Sequence[str], Tally], None]
SURFACES: tuple[Surface, ...] = (
    hostile_messages.look_at,
    hostile_surfaces.terminal,
    hostile_surfaces.log,
    hostile_surfaces.labels,
    hostile_surfaces.paths,
)


def tally_of(count: int, random: Random) -> Tally:
    """Return what came out of `count` hostile strings, each through every surface."""
    tally = Tally()
    with hostile_surfaces.served():
        for batch in _batches(count, random):
            for look_at in SURFACES:
                look_at(batch, tally)
    return tally


def _batches(count: int, random: Random) -> Iterator[Sequence[str]]:
    made = strings(count, random)
    while batch := list(islice(made, BATCH)):
        yield batch


def main(count: int = STRINGS, seed: int = 1) -> int:
    """Print the counts; return 1 if there is a fault."""
    began = time.perf_counter()
    tally = tally_of(count, Random(seed))
    widths = (36, 10, *(10 for _ in KINDS))
    for row in (
        ("surface", "texts", *(f"{kind}s" for kind in KINDS)),
        *(
            (surface, str(looked_at), *(str(tally.count(surface, kind)) for kind in KINDS))
            for surface, looked_at in sorted(tally.looked_at.items())
        ),
    ):
        print("".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
    total = sum(map(len, tally.faults.values()))
    print(f"{count} hostile strings in {time.perf_counter() - began:.0f} s: {total} faults")
    for (surface, kind), texts in tally.faults.items():
        print(f"  {surface}, {kind}: {texts[0][:500]!r}")
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
