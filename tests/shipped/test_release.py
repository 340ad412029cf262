"""What is released: one version everywhere, a wheel, and a source distribution that makes the same
wheel.
"""

import re
import sys
import zipfile
from pathlib import Path

import pytest

from tests.shipped.tools import ROOT, run, tool
from watcher import __version__


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "--directory", folder, cwd=ROOT)
    return folder


def test_the_changelog_has_unreleased_changes_then_this_version() -> None:
    headings = re.findall(r"^## ([\w.]+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    versions = headings[1:] if headings[0] == "Unreleased" else headings
    assert versions[0] == __version__


def test_the_index_would_take_what_is_built(dist: Path) -> None:
    run(tool("twine"), "check", "--strict", *dist.iterdir())


def test_the_wheel_holds_the_program_and_nothing_else(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    assert wheel.name == f"mixpeek_watcher-{__version__}-py3-none-any.whl"
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names} == {
        "watcher",
        f"mixpeek_watcher-{__version__}.dist-info",
    }
    assert {"watcher/py.typed", "watcher/stores/sqlite/migrations/0001_initial.sql"} <= {*names}
    assert f"mixpeek_watcher-{__version__}.dist-info/licenses/LICENSE" in names
    assert not [name for name in names if "__pycache__" in name]
    shipped = {
        str(one.relative_to(ROOT))
        for one in (ROOT / "watcher").rglob("*")
        if one.suffix in (".py", ".sql")
    }
    assert shipped <= {*names}


def test_the_same_wheel_comes_from_the_source_distribution(dist: Path, tmp_path: Path) -> None:
    (source,) = dist.glob("*.tar.gz")
    run("tar", "--extract", "--file", source, "--directory", tmp_path)
    (unpacked,) = tmp_path.iterdir()
    assert {"CHANGELOG.md", "LICENSE", "README.md", "config", "docs"} <= {
        one.name for one in unpacked.iterdir()
    }
    run(
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "--target",
        "wheel",
        "--directory",
        tmp_path / "again",
        cwd=unpacked,
    )
    (again,) = (tmp_path / "again").glob("*.whl")
    (wheel,) = dist.glob("*.whl")
    assert again.read_bytes() == wheel.read_bytes()
