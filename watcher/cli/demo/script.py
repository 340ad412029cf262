"""The script of the demo: a dozen tasks in twenty seconds; one fails, one completes with errors,
one is canceled.
"""

from dataclasses import dataclass, field
from typing import Any

BATCHES = "api_buckets_batches_process"
UPLOADS = "api_buckets_uploads_create"
CLUSTERS = "engine_cluster_build"
TAXONOMIES = "api_taxonomies_execute"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """At `at` seconds after the start, the task shows `status` and `fields`."""

    at: float
    task_id: str
    status: str
    fields: dict[str, Any] = field(default_factory=dict)


_PARTIAL = {
    "failed_count": 7,
    "processed_count": 240,
    "success_rate": 0.97,
    "failed_items": [
        {"object_id": "obj_0017", "error": "Unsupported codec: prores_raw"},
        {"object_id": "obj_0058", "error": "File is empty"},
        {"object_id": "obj_0113", "error": "Download failed: 403 Forbidden"},
        {"object_id": "obj_0192", "error": "File is empty"},
    ],
}
_FAILURE = "Failed to process batch: Object not found: s3://catalogue/spring/0042.mp4"
_TASKS: tuple[tuple[str, str, float, float, str, dict[str, Any]], ...] = (
    # task, type, start and end in seconds, final status, final fields
    ("task_thumbnails", UPLOADS, 0.5, 3.0, "COMPLETED", {}),
    ("task_catalogue_1", BATCHES, 1.0, 6.0, "COMPLETED", {}),
    ("task_catalogue_2", BATCHES, 1.5, 8.0, "FAILED", {"error_message": _FAILURE}),
    ("task_catalogue_3", BATCHES, 2.0, 9.5, "COMPLETED_WITH_ERRORS", {"outputs": [_PARTIAL]}),
    ("task_intro_video", UPLOADS, 2.5, 5.0, "COMPLETED", {}),
    ("task_clusters", CLUSTERS, 3.0, 12.0, "COMPLETED", {}),
    ("task_nightly_index", BATCHES, 3.5, 10.0, "CANCELED", {}),
    ("task_taxonomy", TAXONOMIES, 4.0, 11.0, "COMPLETED", {}),
    ("task_posters", UPLOADS, 5.0, 7.5, "COMPLETED", {}),
    ("task_trailers", BATCHES, 6.0, 13.0, "COMPLETED", {}),
    ("task_archive", BATCHES, 7.0, 14.5, "COMPLETED", {}),
    ("task_empty_batch", BATCHES, 8.0, 15.5, "SKIPPED", {}),
)

TASK_IDS = tuple(task_id for task_id, *_ in _TASKS)
"""The tasks of the first round."""


def ids_of(number: int) -> tuple[str, ...]:
    """Return the tasks of a round, of which the first is 0."""
    return tuple(_named(task_id, number) for task_id in TASK_IDS)


def scenes(number: int = 0) -> list[Scene]:
    """Return all scenes of a round in the order of their times."""
    played = []
    for name, task_type, starts, ends, status, fields in _TASKS:
        task_id = _named(name, number)
        initial = {
            "task_type": task_type,
            "additional_data": {"batch_id": task_id.replace("task", "batch")},
        }
        played.append(Scene(at=0.0, task_id=task_id, status="PENDING", fields=initial))
        played.append(Scene(at=starts, task_id=task_id, status="IN_PROGRESS"))
        played.append(Scene(at=ends, task_id=task_id, status=status, fields=fields))
    return sorted(played, key=lambda scene: scene.at)


def _named(task_id: str, number: int) -> str:
    return f"{task_id}_{number + 1}" if number else task_id
