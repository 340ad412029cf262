"""How several consumers share a budget: each takes what it needs, up to one level for all. Pure.

The level rises while some need less than an equal share, so that no budget is left unused while
one needs more (max-min fairness).
"""

from collections.abc import Iterable


def fair_level(needs: Iterable[int], budget: int) -> int:
    """Return the most that any consumer may take; `budget` if all needs fit together.

    Where they do not, the sum of `min(need, level)` is at most the budget, and less by fewer units
    than there are consumers.
    """
    left = max(budget, 0)
    ascending = sorted(needs)
    if sum(ascending) <= left:
        return left
    for number, need in enumerate(ascending):
        level = left // (len(ascending) - number)
        if need >= level:
            return level
        left -= need
    return left
