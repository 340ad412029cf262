"""The query of the list of deliveries. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from starlette.datastructures import QueryParams

from watcher.api.page.paths import address
from watcher.api.page.selection import LONGEST
from watcher.api.problems import Problem
from watcher.core.deliveries import Delivery, DeliveryState
from watcher.core.reading import DeliverySelection

ROWS = 50
"""Deliveries of a page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryQuery:
    """What a page of deliveries was requested with. `rows` are those to show again, `top` is the
    newest one of the first page.
    """

    state: DeliveryState
    channel: str | None
    reason: str | None
    cursor: str | None
    rows: Sequence[int] | None
    top: int | None
    following: str | None

    @classmethod
    def of(cls, sent: QueryParams) -> Self:
        """Return that of a request. Raises `Problem`."""
        reason, top = sent.get("reason") or None, _numbers("top", sent.get("top") or "")
        if reason is not None and len(reason) > LONGEST:
            raise Problem(422, f"reason: at most {LONGEST} characters")
        return cls(
            state=_state(sent.get("state")),
            channel=sent.get("channel") or None,
            reason=reason,
            cursor=sent.get("cursor") or None,
            rows=_numbers("rows", sent["rows"]) if "rows" in sent else None,
            top=top[0] if top else None,
            following=sent.get("next") or None,
        )

    @property
    def selection(self) -> DeliverySelection:
        """The deliveries that it selects."""
        return DeliverySelection(state=self.state, channel=self.channel, reason=self.reason)

    def address(self, **changed: str | None) -> str:
        """Return the address of this list with some parameters changed or added."""
        query = {"state": self.state, "channel": self.channel, "reason": self.reason}
        return address("deliveries", query | changed)

    def live(self, shown: Sequence[Delivery], following: str | None) -> str | None:
        """Return the address that shows the same rows again, as they are then."""
        rows = self.rows if self.rows is not None else [one.id for one in shown]
        if not rows:
            return None
        newest = None if self.cursor else self.top or rows[0]
        return self.address(
            cursor=self.cursor,
            rows=",".join(map(str, rows)),
            top=None if newest is None else str(newest),
            next=following,
        )


def _numbers(name: str, text: str) -> list[int]:
    """Return the numbers of deliveries that a parameter names. Raises `Problem`."""
    found = text.split(",") if text else []
    if len(found) > ROWS or not all(
        one.isascii() and one.isdigit() and len(one) < 19 for one in found
    ):
        raise Problem(422, f"{name}: expected numbers of deliveries, at most {ROWS}")
    return [int(one) for one in found]


def _state(text: str | None) -> DeliveryState:
    try:
        return DeliveryState(text or DeliveryState.FAILED)
    except ValueError:
        raise Problem(422, f"state: one of {', '.join(DeliveryState)}, not {text!r}") from None
