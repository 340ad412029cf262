"""`watcher store copy`."""

from pathlib import Path

from anyio import run as run_async

from tests.cli.harness import run
from tests.support.records import request
from watcher.stores.sqlite import create


def test_a_stopped_store_is_copied_with_its_counts(tmp_path: Path) -> None:
    first, second = (f"sqlite:///{tmp_path}/{name}.db" for name in ("first", "second"))

    async def fill() -> None:
        async with create(first) as store:
            await store.add([request("task_1"), request("task_2")], 1.0)

    run_async(fill)
    finished = run("store", "copy", first, second, terminal=True)
    assert finished.exit_code == 0, finished
    assert "copying watches: 100 %" in finished.stderr
    assert finished.rows[1][:2] == ["watches", "2"]
    assert finished.stdout.splitlines()[-1] == (
        f"copied 2 rows to {tmp_path}/second.db; both have the same counts and digests"
    )
    again = run("store", "copy", first, second)
    assert (again.exit_code, again.stdout) == (2, "")
    assert again.stderr == f"watcher: {tmp_path}/second.db is not empty: name a new file\n"


def test_a_url_of_no_kind_is_an_error_without_its_password() -> None:
    finished = run("store", "copy", "mysql://me:hidden-word@h/db", "sqlite:////x")
    assert finished.exit_code == 2
    assert "unknown store type" in finished.stderr
    assert "hidden-word" not in finished.stderr
