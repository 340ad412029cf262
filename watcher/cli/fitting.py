"""Which columns of a table a terminal shows, and how wide. Pure.

IDs, names and statuses stay whole, so that they can be copied: a table of long ones is wider than
the terminal.
"""

from collections.abc import Mapping, Sequence

_TEXTS = frozenset(
    {"answer", "error", "error_message", "labels", "last_error", "reason", "task_type"}
)
"""Columns whose cells may end in an ellipsis."""
_SHORTEST = 12
"""Columns of the terminal that are left to a text."""
_GAP = 2


def fit(
    widths: Mapping[str, int], terminal: int, optional: Sequence[str] = ()
) -> Mapping[str, int]:
    """Return the widths at which a table takes at most `terminal` columns, or as few as possible.

    `widths` are those that the cells need. Texts become shorter, the longest first; if that is not
    enough, the `optional` columns are left out, in their order.
    """
    left_out = iter(optional)
    while True:
        fitted = _with_shorter_texts(widths, terminal)
        if _total(fitted) <= terminal:
            return fitted
        column = next(left_out, None)
        if column is None:
            return fitted
        widths = {name: width for name, width in widths.items() if name != column}


def _with_shorter_texts(widths: Mapping[str, int], terminal: int) -> Mapping[str, int]:
    fitted = dict(widths)
    while (excess := _total(fitted) - terminal) > 0:
        longest = max(_TEXTS & fitted.keys(), key=lambda name: (fitted[name], name), default=None)
        if longest is None or fitted[longest] <= _SHORTEST:
            break
        others = [fitted[name] for name in _TEXTS & fitted.keys() if name != longest]
        least = max(_SHORTEST, fitted[longest] - excess, *others, 0)
        fitted[longest] = least if least < fitted[longest] else fitted[longest] - 1
    return fitted


def _total(widths: Mapping[str, int]) -> int:
    return sum(widths.values()) + _GAP * (len(widths) - 1)
