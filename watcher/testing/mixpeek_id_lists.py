"""What a deployment makes of requests that name many task IDs: the limits that it does not
document.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from watcher.testing.mixpeek_request import ApiError, validation_error


@dataclass(slots=True, kw_only=True)
class IdLists:
    """How a deployment treats the lists of task IDs in filters.

    Only the first `read` IDs of each list are used. A request with more than `accepted` IDs is
    answered with `rejection`, or its connection is reset; one with more than `fast` takes `slow`
    seconds longer. `status` is what becomes of conditions on the status beside a list of IDs:
    "rejected" answers 422. Unless `nested`, groups of conditions within groups are rejected.
    """

    read: int | None = None
    accepted: int | None = None
    rejection: Literal[400, 413, 422, "reset"] = 413
    fast: int | None = None
    slow: float = 0.0
    status: Literal["works", "ignored", "rejected"] = "works"
    nested: bool = True

    def delay(self, criteria: Mapping[str, Any]) -> float:
        """Return for how many seconds longer the answer takes."""
        if self.fast is None or len(named_ids(criteria.get("filters"))) <= self.fast:
            return 0.0
        return self.slow

    def understood(self, filters: Any) -> Any:
        """Return the filters as they are applied. Raises `ApiError` for those that are rejected,
        and `ConnectionResetError`.
        """
        if self.accepted is not None and len(named_ids(filters)) > self.accepted:
            self._reject()
        if not isinstance(filters, Mapping):
            return filters
        if not self.nested and any(_groups(filters)):
            raise validation_error("filters: nesting is too deep")
        return {name: self._members(value) for name, value in filters.items()}

    def _reject(self) -> None:
        if self.rejection == "reset":
            raise ConnectionResetError
        if self.rejection == 413:
            raise ApiError(413, "Request entity too large", "PayloadTooLarge")
        raise ApiError(self.rejection, "filters: too many values", "ValidationError")

    def _members(self, members: Any) -> Any:
        if not isinstance(members, list):
            return members
        has_ids = any(_is_id_list(member) for member in members)
        return [
            self._member(member) for member in members if not (has_ids and self._is_ignored(member))
        ]

    def _member(self, member: Any) -> Any:
        if _is_id_list(member):
            return {**member, "value": member["value"][: self.read]}
        if isinstance(member, Mapping) and "field" not in member:
            return {name: self._members(value) for name, value in member.items()}
        return member

    def _is_ignored(self, member: Any) -> bool:
        if not isinstance(member, Mapping) or member.get("field") != "status":
            return False
        if self.status == "rejected":
            raise validation_error(f"filters: operator {member.get('operator')!r} is not supported")
        return self.status == "ignored"


def named_ids(filters: Any) -> set[Any]:
    """Return the task IDs that filters name."""
    if _is_id_list(filters):
        return set(filters["value"])
    if isinstance(filters, Mapping):
        filters = list(filters.values())
    if not isinstance(filters, list):
        return set()
    return set().union(*map(named_ids, filters))


def _groups(filters: Mapping[str, Any]) -> list[Any]:
    return [
        member
        for members in filters.values()
        if isinstance(members, list)
        for member in members
        if isinstance(member, Mapping) and "field" not in member
    ]


def _is_id_list(member: Any) -> bool:
    return (
        isinstance(member, Mapping)
        and (member.get("field"), member.get("operator")) == ("task_id", "in")
        and isinstance(member.get("value"), list)
    )
