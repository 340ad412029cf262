"""Which changes of a file are noticed, and which files are warned of."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from watcher.configuration import loader, replaced_files
from watcher.core.errors import ConfigurationError
from watcher.core.settings import Settings
from watcher.daemon.reload import Reloader, stamps_of

SECRET, OTHER = "first", "other"


def in_place(file: Path) -> None:
    file.write_text("longer than before")


def same_size_and_time(file: Path) -> None:
    """As `cp -p` and `rsync --times` do."""
    before = file.stat()
    file.write_text(OTHER)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def renamed_over(file: Path) -> None:
    """As editors do; with the old time, as `mv` of a restored file does."""
    before = file.stat()
    new = file.with_name("new")
    new.write_text(OTHER)
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    new.rename(file)


def removed(file: Path) -> None:
    file.unlink()


def linked_elsewhere(file: Path) -> None:
    other = file.with_name("elsewhere")
    other.write_text(OTHER)
    file.unlink()
    file.symlink_to(other)


def readable_again(file: Path) -> None:
    file.chmod(0o640)


@pytest.mark.parametrize(
    "change",
    [in_place, same_size_and_time, renamed_over, removed, linked_elsewhere, readable_again],
)
def test_every_change_of_a_file_is_noticed(tmp_path: Path, change: Callable[[Path], None]) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET)
    before = stamps_of([file])
    assert stamps_of([file]) == before
    change(file)
    assert stamps_of([file]) != before


def test_a_swap_of_a_kubernetes_volume_is_noticed(tmp_path: Path) -> None:
    """The kubelet writes a new folder and renames a link to it over `..data`."""
    for folder, content in (("..2026_1", SECRET), ("..2026_2", OTHER)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "key").write_text(content)
        os.utime(tmp_path / folder / "key", ns=(1, 1))
    (tmp_path / "..data").symlink_to("..2026_1")
    (tmp_path / "key").symlink_to("..data/key")
    before = stamps_of([tmp_path / "key"])
    (tmp_path / "..data_tmp").symlink_to("..2026_2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    assert (tmp_path / "key").read_text() == OTHER
    assert stamps_of([tmp_path / "key"]) != before


def test_a_change_while_the_file_is_read_is_one_that_follows(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET)
    settings = loader.load(None, {"MIXPEEK_API_KEY": "sk_made_up", "HOME": str(tmp_path)})
    settings = settings.model_copy(update={"files": frozenset({file})})
    failed = ConfigurationError(["invalid"], frozenset({file}))

    def load() -> Settings:
        file.write_text(f"{file.read_text()}, changed after it was read")
        if failures:
            raise failures.pop()
        return settings

    failures: list[ConfigurationError] = []
    reloader = Reloader(settings, load, lambda: settings, lambda _: None)
    reloader.reload()
    assert reloader.files_changed()
    failures = [failed]
    reloader.reload()
    assert reloader.files_changed()


def test_a_mounted_file_that_was_replaced_on_the_host_is_warned_of(tmp_path: Path) -> None:
    """A file without a name, as it looks behind a bind mount."""
    there, replaced = tmp_path / "there", tmp_path / "replaced"
    there.write_text("")
    replaced.write_text("")
    with replaced.open() as opened:
        mounted = Path(f"/proc/self/fd/{opened.fileno()}")
        before = stamps_of([mounted])
        assert replaced_files.warnings([there, mounted, tmp_path / "missing"]) == []
        replaced.unlink()
        assert stamps_of([mounted]) != before
        (line,) = replaced_files.warnings([there, mounted, tmp_path / "missing"])
    assert line.startswith(f"{mounted} is mounted, and was replaced on the host")
