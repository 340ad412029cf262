"""The fake Mixpeek API without HTTP: its routes, formats and errors, over tasks kept in memory."""

import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple
from urllib.parse import unquote

from watcher.core.tasks import TERMINAL_STATUSES
from watcher.testing.mixpeek_batches import cancelled, confirmations_of, matches, shown
from watcher.testing.mixpeek_filters import FilterError, Test, matcher, required_ids, value_at
from watcher.testing.mixpeek_id_lists import IdLists, named_ids
from watcher.testing.mixpeek_paging import Position, batch_position, page_of, task_position
from watcher.testing.mixpeek_request import (
    ApiError,
    Request,
    check_fields,
    check_status,
    require_namespace,
    validation_error,
)

_TASK_CRITERIA = {"status", "task_type", "filters", "sort", "search"}
_BATCH_CRITERIA = {"status", "collection_id", "bucket_id", "namespace_id"}
_BATCH_PAGING = {"offset", "limit", "cursor"}
_SEARCHED = ("task_id", "task_type", "status")

Handler = Callable[..., dict[str, Any]]


class Route(NamedTuple):
    """The route of a request, with the values of the parameters in its path."""

    template: str
    handler: Handler
    parameters: Sequence[str]


class TaskApi:
    """The API of one organisation. Its attributes choose how real deployments differ.

    `id_filter` is what the task list does with a condition on `task_id`: with `omits` it returns no
    task, with `ignored` every task, and with `rejected` an error, as it always does for an ID of
    `rejected_ids`. The list does not know the tasks of `hidden_from_list`, nor GET those of
    `hidden_from_get`. `paging` is how a list continues; `page_cap` is the most items per page,
    whatever the limit. `id_lists` are the limits of requests that name many task IDs. A
    cancellation does not stop `rejected_jobs` of its jobs.
    """

    def __init__(self) -> None:
        self.tasks: dict[str, dict[str, Any]] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.confirmed: list[str] = []
        self.id_filter: Literal["works", "rejected", "ignored", "omits"] = "works"
        self.id_lists = IdLists()
        self.rejected_ids: set[str] = set()
        self.hidden_from_list: set[str] = set()
        self.hidden_from_get: set[str] = set()
        self.paging: Literal["cursor", "offset"] = "cursor"
        self.page_cap = 1000
        self.has_list = True
        self.rejected_jobs = 0
        self._numbers = itertools.count(1)
        self._routes: tuple[tuple[str, re.Pattern[str], Handler], ...] = tuple(
            (template, _pattern(template), handler)
            for template, handler in (
                ("GET /v1/tasks/{task_id}", self._get_task),
                ("DELETE /v1/tasks/{task_id}", self._kill_task),
                ("POST /v1/tasks/list", self._list_tasks),
                ("POST /v1/batches/list", self._list_all_batches),
                ("POST /v1/buckets/{bucket}/batches/list", self._list_batches),
                ("GET /v1/buckets/{bucket}/batches/{batch}", self._get_batch),
                ("POST /v1/buckets/{bucket}/batches/{batch}/cancel", self._cancel_batch),
                ("POST /v1/buckets/{bucket}/uploads/confirm/batch", self._confirm_uploads),
            )
        )

    def route(self, request: Request) -> Route | None:
        """Return the route of a request; None where there is none."""
        for template, pattern, handler in self._routes:
            if match := pattern.fullmatch(f"{request.method} {request.path}"):
                if not self.has_list and template == "POST /v1/tasks/list":
                    return None
                return Route(template, handler, [unquote(value) for value in match.groups()])
        return None

    def set(self, task_id: str, status: str, **fields: Any) -> None:
        """Add or update a task; fields that are not named keep their values."""
        task = self.tasks.setdefault(
            task_id,
            {
                "task_id": task_id,
                "task_type": None,
                "inputs": None,
                "outputs": None,
                "additional_data": None,
            },
        )
        task.update(fields, status=status)

    # Tasks

    def _get_task(self, request: Request, task_id: str) -> dict[str, Any]:
        if task_id not in self.tasks or task_id in self.hidden_from_get:
            raise ApiError(404, f"Task {task_id} not found", "NotFoundError")
        return self.tasks[task_id]

    def _kill_task(self, request: Request, task_id: str) -> dict[str, Any]:
        task = self.tasks.get(task_id)
        if task is not None and task["status"].upper() not in TERMINAL_STATUSES:
            task["status"] = "CANCELED"
        return {"success": True, "message": f"Task {task_id} killed"}

    def _list_tasks(self, request: Request) -> dict[str, Any]:
        criteria, query = request.json(), request.query
        check_fields(criteria, _TASK_CRITERIA)
        position = task_position(query)
        tasks = self._matching_tasks(criteria)
        if sort := criteria.get("sort"):
            tasks = _sorted(tasks, sort)
        with_total = query.get("include_total", "").lower() == "true"
        page, pagination = self._page(tasks, position, with_total=with_total)
        return {"results": page, "pagination": pagination}

    def _matching_tasks(self, criteria: Mapping[str, Any]) -> list[dict[str, Any]]:
        tests: list[Test] = []
        if hidden := self.hidden_from_list:
            tests.append(lambda task: task["task_id"] not in hidden)
        if (status := criteria.get("status")) is not None:
            check_status(status)
            tests.append(lambda task: task["status"].upper() == status)
        if (task_type := criteria.get("task_type")) is not None:
            tests.append(lambda task: _text(task["task_type"]) == _text(task_type))
        if (search := criteria.get("search")) is not None:
            tests.append(
                lambda task: any(str(search).casefold() in text for text in _search_texts(task))
            )
        tasks: list[dict[str, Any]] = []
        if (filters := criteria.get("filters")) is None:
            tasks += self.tasks.values()
        else:
            filters = self.id_lists.understood(filters)
            tests.append(self._filter(filters))
            tasks += self._candidates(filters)
        for test in tests:
            tasks = [task for task in tasks if test(task)]
        return tasks

    def _candidates(self, filters: Any) -> Iterable[dict[str, Any]]:
        """Return the tasks that filters may match: they are not evaluated for hundreds of thousands
        that they do not name.
        """
        ids = required_ids(filters) if self.id_filter == "works" else None
        if ids is None:
            return self.tasks.values()
        return (task for name, task in self.tasks.items() if name.casefold() in ids)

    def _filter(self, filters: Any) -> Test:
        try:
            test = matcher(filters)
        except FilterError as error:
            raise validation_error(str(error)) from None
        ids = named_ids(filters)
        if ids:
            if self.id_filter == "rejected" or ids & self.rejected_ids:
                raise validation_error("filters: operator 'in' is not supported")
            if self.id_filter == "omits":
                return lambda task: False
            if self.id_filter == "ignored":
                return lambda task: True
        return test

    # Batches and uploads

    def _list_all_batches(self, request: Request) -> dict[str, Any]:
        return self._batch_page(request.json())

    def _list_batches(self, request: Request, bucket: str) -> dict[str, Any]:
        require_namespace(request)
        return self._batch_page({**request.json(), "bucket_id": bucket})

    def _batch_page(self, criteria: Mapping[str, Any]) -> dict[str, Any]:
        check_fields(criteria, _BATCH_CRITERIA | _BATCH_PAGING)
        if (status := criteria.get("status")) is not None:
            check_status(status)
        position = batch_position(criteria)
        batches = [batch for batch in self.batches.values() if matches(batch, criteria)]
        page, pagination = self._page(batches, position)
        results = [shown(batch) for batch in page]
        return {"results": results, "total_count": len(batches), "pagination": pagination}

    def _get_batch(self, request: Request, bucket: str, batch_id: str) -> dict[str, Any]:
        require_namespace(request)
        return shown(self._batch(bucket, batch_id))

    def _batch(self, bucket: str, batch_id: str) -> dict[str, Any]:
        batch = self.batches.get(batch_id)
        if batch is None or batch["bucket_id"] != bucket:
            raise ApiError(404, f"Batch {batch_id} not found", "NotFoundError")
        return batch

    def _cancel_batch(self, request: Request, bucket: str, batch_id: str) -> dict[str, Any]:
        batch = self._batch(bucket, batch_id)
        if batch.get("task_id") not in self.tasks:
            raise ApiError(400, f"Batch {batch_id} is not submitted", "BadRequestError")
        cancellation = cancelled(batch, self.tasks, rejected_jobs=self.rejected_jobs)
        return {**self.tasks[batch["task_id"]], "cancellation": cancellation}

    def _confirm_uploads(self, request: Request, bucket: str) -> dict[str, Any]:
        require_namespace(request)
        confirmations = confirmations_of(request.json())
        self.confirmed += [confirmation["upload_id"] for confirmation in confirmations]
        task_id = f"task_confirm_{next(self._numbers)}"
        additional_data = {"bucket_id": bucket, "object_count": len(confirmations)}
        self.set(
            task_id,
            "PENDING",
            task_type="api_buckets_uploads_confirm",
            additional_data=additional_data,
        )
        return {
            "task_id": task_id,
            "status": "PENDING",
            "confirmations_count": len(confirmations),
            "task": self.tasks[task_id],
            "message": "Batch confirmation is being processed in the background.",
        }

    def _page(
        self, items: list[dict[str, Any]], position: Position, *, with_total: bool = False
    ) -> tuple[Sequence[dict[str, Any]], dict[str, Any]]:
        position = position._replace(limit=min(position.limit, self.page_cap))
        with_cursor = self.paging == "cursor"
        return page_of(items, position, with_cursor=with_cursor, with_total=with_total)


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{\w+\\}", "([^/]+)", re.escape(template).replace("\\ ", " ")))


def _sorted(tasks: list[dict[str, Any]], sort: Any) -> list[dict[str, Any]]:
    if not isinstance(sort, dict) or sort.keys() - {"field", "direction"} or "field" not in sort:
        raise validation_error("sort: field and direction")
    if (direction := sort.get("direction") or "asc") not in ("asc", "desc"):
        raise validation_error("sort.direction: asc or desc")
    path = str(sort["field"]).split(".")
    return sorted(tasks, key=lambda task: str(value_at(task, path)), reverse=direction == "desc")


def _text(value: Any) -> str | None:
    return None if value is None else str(value).casefold()


def _search_texts(task: Mapping[str, Any]) -> list[str]:
    return [text for name in _SEARCHED if (text := _text(task[name])) is not None]
