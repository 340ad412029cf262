"""The batches of the fake Mixpeek API: how they are shown, listed and cancelled, and uploads."""

from collections.abc import Mapping
from typing import Any

from watcher.core.tasks import TERMINAL_STATUSES
from watcher.testing.mixpeek_request import check_fields, validation_error

_BATCH_DEFAULTS: Mapping[str, Any] = {
    "status": "DRAFT",
    "task_id": None,
    "tier_tasks": [],
    "max_node_death_resubmits": 3,
    "max_deploy_resubmits": 3,
    "lifecycle": None,
    "lifecycle_reason": None,
}
"""Fields that every answer about a batch has."""
_TIER_DEFAULTS = {"task_id": None, "status": "PENDING", "collection_ids": ["col_1"]}


def shown(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Return a batch as the API shows it, with all fields that an answer has."""
    tiers = [
        {
            "tier_num": number,
            "source_type": "collection" if number else "bucket",
            **_TIER_DEFAULTS,
            **tier,
        }
        for number, tier in enumerate(batch.get("tier_tasks") or ())
    ]
    return {**_BATCH_DEFAULTS, **batch, "tier_tasks": tiers}


def matches(batch: Mapping[str, Any], criteria: Mapping[str, Any]) -> bool:
    """Return whether a list with these criteria shows the batch."""
    return all(
        criteria.get(name) is None or batch.get(name) == criteria[name]
        for name in ("bucket_id", "namespace_id", "status")
    )


def cancelled(
    batch: dict[str, Any], tasks: Mapping[str, dict[str, Any]], *, rejected_jobs: int
) -> dict[str, int]:
    """Cancel a batch and its active tasks, except the first `rejected_jobs`; return what the API
    says about it.
    """
    active = [
        task_id
        for task_id in _task_ids(batch)
        if task_id in tasks and tasks[task_id]["status"].upper() not in TERMINAL_STATUSES
    ]
    stopped = active[rejected_jobs:]
    for task_id in stopped:
        tasks[task_id]["status"] = "CANCELED"
    batch["status"] = "CANCELED"
    return {
        "ray_jobs_requested": len(active),
        "ray_jobs_accepted": len(stopped),
        "ray_jobs_refused": len(active) - len(stopped),
    }


def _task_ids(batch: Mapping[str, Any]) -> list[str]:
    tiers = batch.get("tier_tasks") or ()
    ids = [batch.get("task_id"), *(tier.get("task_id") for tier in tiers)]
    return [task_id for task_id in ids if task_id is not None]


def confirmations_of(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the confirmations of a request. Raises `ApiError` (422)."""
    check_fields(body, {"confirmations"})
    confirmations = body.get("confirmations")
    if not isinstance(confirmations, list) or not 1 <= len(confirmations) <= 100:
        raise validation_error("confirmations: List should have 1 to 100 items")
    for confirmation in confirmations:
        # The API declares no fields here, so further ones are no error.
        if not isinstance(confirmation, dict) or "upload_id" not in confirmation:
            raise validation_error("confirmations: Input should be a valid dictionary")
    return confirmations
