"""The task API made up: its calls, shapes and refusals over tasks, batches and uploads that only exist in memory.

Pure but for its own contents: a request goes in, an answer comes out, over whatever transport.
"""

import base64
import itertools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote

from watcher.core.tasks import KNOWN_STATUSES
from watcher.testing.mixpeek_filters import FilterError, matcher

OFFSET_LIMIT = 10_000
_TASKS_KEYS = {"status", "task_type", "filters", "sort", "search"}
_BATCHES_KEYS = {
    "status",
    "collection_id",
    "bucket_id",
    "namespace_id",
    "offset",
    "limit",
    "cursor",
}
_ACTIVE = {"PENDING", "QUEUED", "IN_PROGRESS", "PROCESSING", "DRAFT"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request as it came."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> dict[str, Any]:
        """Return the body. Raises `Refusal` where it is not a JSON object."""
        try:
            content = json.loads(self.body or b"{}")
        except ValueError:
            raise Refusal(400, "Invalid JSON", "BadRequestError") from None
        if not isinstance(content, dict):
            raise Refusal(422, "Input should be a valid dictionary", "ValidationError")
        return content


class Refusal(Exception):  # noqa: N818  # it is an answer like any other
    """An error as the API words it."""

    def __init__(
        self, status: int, message: str, kind: str, details: object = None, **headers: str
    ) -> None:
        super().__init__(message)
        self.status = status
        error = {
            "message": message,
            "type": kind,
            **({} if details is None else {"details": details}),
        }
        self.content = {"success": False, "status": status, "error": error}
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


Handler = Callable[..., dict[str, Any]]


class TaskApi:
    """The API of one organisation. What real ones differ in can be chosen.

    `id_filter` is what the list makes of a condition on `task_id`: it `works`, is `refused` (422), `ignored`, or a page
    `leaves_out` everything. `hidden` are tasks that the list does not show, `unread` those that a GET does not know.
    `paging` is how lists go on; `page_cap` is the most they give a page, whatever they are asked for.
    """

    def __init__(self) -> None:
        self.tasks: dict[str, dict[str, Any]] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.confirmed: list[str] = []
        self.id_filter: Literal["works", "refused", "ignored", "leaves_out"] = "works"
        self.refused_ids: set[str] = set()
        self.hidden: set[str] = set()
        self.unread: set[str] = set()
        self.paging: Literal["cursor", "offset"] = "cursor"
        self.page_cap = 1000
        self.has_list = True
        self.refused_jobs = 0
        self._numbers = itertools.count(1)
        self._routes: tuple[tuple[str, re.Pattern[str], Handler], ...] = tuple(
            (template, _pattern(template), handler)
            for template, handler in (
                ("GET /v1/tasks/{task_id}", self._get_task),
                ("DELETE /v1/tasks/{task_id}", self._kill_task),
                ("POST /v1/tasks/list", self._list_tasks),
                ("POST /v1/batches/list", self._list_all_batches),
                ("POST /v1/buckets/{bucket}/batches/list", self._list_batches),
                ("POST /v1/buckets/{bucket}/batches/{batch}/cancel", self._cancel_batch),
                ("POST /v1/buckets/{bucket}/uploads/confirm/batch", self._confirm_uploads),
            )
        )

    def route(self, asked: Request) -> tuple[str, Handler, Sequence[str]] | None:
        """Return the template that the request is counted under, what answers it, and what stood in its gaps."""
        for template, pattern, handler in self._routes:
            if match := pattern.fullmatch(f"{asked.method} {asked.path}"):
                if not self.has_list and template == "POST /v1/tasks/list":
                    return None
                return template, handler, [unquote(part) for part in match.groups()]
        return None

    def set(self, task_id: str, status: str, **fields: Any) -> None:
        """Show a task with this status from now on; `fields` stay as they were where they are not given."""
        shown = self.tasks.setdefault(
            task_id,
            {
                "task_id": task_id,
                "task_type": None,
                "inputs": None,
                "outputs": None,
                "additional_data": None,
            },
        )
        shown.update(fields, status=status)

    # Tasks

    def _get_task(self, asked: Request, task_id: str) -> dict[str, Any]:
        if task_id not in self.tasks or task_id in self.unread:
            raise Refusal(404, f"Task {task_id} not found", "NotFoundError")
        return self.tasks[task_id]

    def _kill_task(self, asked: Request, task_id: str) -> dict[str, Any]:
        task = self._get_task(asked, task_id)
        if task["status"] not in _ACTIVE:
            raise Refusal(400, f"Task {task_id} has ended already", "BadRequestError")
        task["status"] = "CANCELED"
        return {"success": True, "message": f"Task {task_id} killed"}

    def _list_tasks(self, asked: Request) -> dict[str, Any]:
        wanted = asked.json()
        _only(wanted, _TASKS_KEYS)
        limit = _number(asked.query, "limit", 100, 1, 1000)
        offset = _number(asked.query, "offset", 0, 0, OFFSET_LIMIT)
        found = self._selected(wanted)
        if sort := wanted.get("sort"):
            found = _sorted(found, sort)
        page, pagination = self._page(found, limit, offset, asked.query.get("cursor"))
        total = len(found) if asked.query.get("include_total") == "true" else None
        return {"results": page, "pagination": {**pagination, "total": total}}

    def _selected(self, wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
        tests: list[Callable[[Mapping[str, Any]], bool]] = [
            lambda task: task["task_id"] not in self.hidden
        ]
        if (status := wanted.get("status")) is not None:
            if str(status).upper() not in KNOWN_STATUSES:
                raise Refusal(422, f"status: {status!r} is not a status", "ValidationError")
            tests.append(lambda task: task["status"].upper() == str(status).upper())
        if (kind := wanted.get("task_type")) is not None:
            tests.append(lambda task: str(task["task_type"]).upper() == str(kind).upper())
        if (search := wanted.get("search")) is not None:
            tests.append(
                lambda task: any(
                    search in str(task[name]) for name in ("task_id", "task_type", "status")
                )
            )
        if (filters := wanted.get("filters")) is not None:
            tests.append(self._filter(filters))
        return [task for task in self.tasks.values() if all(test(task) for test in tests)]

    def _filter(self, filters: Any) -> Callable[[Mapping[str, Any]], bool]:
        try:
            test = matcher(filters)
        except FilterError as error:
            raise Refusal(422, str(error), "ValidationError") from None
        asked_for = {one for condition in filters.get("AND", ()) for one in _ids(condition)}
        if asked_for:
            if self.id_filter == "refused" or asked_for & self.refused_ids:
                raise Refusal(422, "filters: operator 'in' is not supported", "ValidationError")
            if self.id_filter == "leaves_out":
                return lambda task: False
            if self.id_filter == "ignored":
                return lambda task: True
        return test

    # Batches and uploads

    def _list_all_batches(self, asked: Request) -> dict[str, Any]:
        wanted = asked.json()
        return self._batch_page(
            wanted, [one for one in self.batches.values() if _chosen(one, wanted)]
        )

    def _list_batches(self, asked: Request, bucket: str) -> dict[str, Any]:
        _namespace(asked)
        wanted = {**asked.json(), "bucket_id": bucket}
        return self._batch_page(
            wanted, [one for one in self.batches.values() if _chosen(one, wanted)]
        )

    def _batch_page(self, wanted: dict[str, Any], found: list[dict[str, Any]]) -> dict[str, Any]:
        _only(wanted, _BATCHES_KEYS)
        limit = _number(wanted, "limit", 100, 1, 1000)
        page, pagination = self._page(
            found, limit, _number(wanted, "offset", 0, 0, 2**31), wanted.get("cursor")
        )
        return {"results": page, "total_count": len(found), "pagination": pagination}

    def _cancel_batch(self, asked: Request, bucket: str, batch_id: str) -> dict[str, Any]:
        batch = self.batches.get(batch_id)
        if batch is None or batch["bucket_id"] != bucket:
            raise Refusal(404, f"Batch {batch_id} not found", "NotFoundError")
        tasks = [one for one in (batch.get("task_id"), *_tiers(batch)) if one in self.tasks]
        stopped = [one for one in tasks if self.tasks[one]["status"] in _ACTIVE]
        for task_id in stopped[self.refused_jobs :]:
            self.tasks[task_id]["status"] = "CANCELED"
        batch["status"] = "CANCELED"
        refused = min(self.refused_jobs, len(stopped))
        outcome = {
            "ray_jobs_requested": len(stopped),
            "ray_jobs_accepted": len(stopped) - refused,
            "ray_jobs_refused": refused,
        }
        return {**self.tasks[batch["task_id"]], "cancellation": outcome}

    def _confirm_uploads(self, asked: Request, bucket: str) -> dict[str, Any]:
        _namespace(asked)
        wanted = asked.json()
        _only(wanted, {"confirmations"})
        confirmations = wanted.get("confirmations")
        if not isinstance(confirmations, list) or not 1 <= len(confirmations) <= 100:
            raise Refusal(422, "confirmations: List should have 1 to 100 items", "ValidationError")
        for one in confirmations:
            if not isinstance(one, dict) or not {"upload_id"} <= one.keys() <= {
                "upload_id",
                "etag",
                "file_size_bytes",
            }:
                raise Refusal(
                    422,
                    "confirmations: upload_id, etag and file_size_bytes, no more",
                    "ValidationError",
                )
        self.confirmed += [one["upload_id"] for one in confirmations]
        task_id = f"task_confirm_{next(self._numbers)}"
        about = {"bucket_id": bucket, "object_count": len(confirmations)}
        self.set(task_id, "PENDING", task_type="api_buckets_uploads_confirm", additional_data=about)
        return {
            "task_id": task_id,
            "status": "PENDING",
            "confirmations_count": len(confirmations),
            "task": self.tasks[task_id],
            "message": "Batch confirmation is being processed in the background.",
        }

    # Pages

    def _page(
        self, found: list[dict[str, Any]], limit: int, offset: int, cursor: str | None
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        limit = min(limit, self.page_cap)
        start = offset if cursor is None else _start(cursor)
        page = found[start : start + limit]
        more = start + limit < len(found)
        next_cursor = base64.urlsafe_b64encode(str(start + limit).encode()).decode()
        return page, {
            "next_cursor": next_cursor if more and self.paging == "cursor" else None,
            "page_size": limit,
        }


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{\w+\\}", "([^/]+)", re.escape(template).replace("\\ ", " ")))


def _only(given: Mapping[str, Any], known: Iterable[str]) -> None:
    if extra := sorted(given.keys() - set(known)):
        details = [{"type": "extra_forbidden", "loc": ["body", name]} for name in extra]
        raise Refusal(
            422, f"{extra[0]}: Extra inputs are not permitted", "ValidationError", details
        )


def _number(given: Mapping[str, Any], name: str, default: int, least: int, most: int) -> int:
    try:
        value = int(given.get(name, default))
    except (TypeError, ValueError):
        value = least - 1
    if not least <= value <= most:
        raise Refusal(422, f"{name}: should be between {least} and {most}", "ValidationError")
    return value


def _start(cursor: str) -> int:
    try:
        return int(base64.urlsafe_b64decode(cursor))
    except ValueError:
        raise Refusal(400, "Invalid cursor", "BadRequestError") from None


def _sorted(found: list[dict[str, Any]], sort: Any) -> list[dict[str, Any]]:
    if not isinstance(sort, dict) or sort.keys() - {"field", "direction"} or "field" not in sort:
        raise Refusal(422, "sort: field and direction", "ValidationError")
    if (direction := sort.get("direction", "asc")) not in ("asc", "desc"):
        raise Refusal(422, "sort.direction: asc or desc", "ValidationError")
    return sorted(found, key=lambda task: str(task.get(sort["field"])), reverse=direction == "desc")


def _ids(condition: Any) -> Sequence[Any]:
    """Return the task IDs that a condition names."""
    if isinstance(condition, Mapping) and (condition.get("field"), condition.get("operator")) == (
        "task_id",
        "in",
    ):
        return list(condition["value"])
    return ()


def _chosen(batch: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    for name in ("bucket_id", "namespace_id", "status"):
        if wanted.get(name) is not None and batch.get(name) != wanted[name]:
            return False
    return True


def _tiers(batch: Mapping[str, Any]) -> list[str]:
    return [tier["task_id"] for tier in batch.get("tier_tasks") or () if tier.get("task_id")]


def _namespace(asked: Request) -> None:
    if not asked.headers.get("x-namespace"):
        raise Refusal(400, "X-Namespace header is required", "BadRequestError")
