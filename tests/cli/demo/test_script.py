"""The script of the demo: complete, and in order."""

from watcher.cli.demo.script import TASK_IDS, scenes
from watcher.core.tasks import TERMINAL_STATUSES


def test_each_task_waits_runs_and_ends() -> None:
    for task_id in TASK_IDS:
        pending, running, end = (scene for scene in scenes() if scene.task_id == task_id)
        assert (pending.at, pending.status, running.status) == (0.0, "PENDING", "IN_PROGRESS")
        assert 0 < running.at < end.at < 20
        assert end.status in TERMINAL_STATUSES


def test_scenes_are_in_the_order_of_their_times() -> None:
    times = [scene.at for scene in scenes()]
    assert times == sorted(times)


def test_three_tasks_need_attention() -> None:
    statuses = [scene.status for scene in scenes()]
    for status in ("FAILED", "COMPLETED_WITH_ERRORS", "CANCELED"):
        assert statuses.count(status) == 1
