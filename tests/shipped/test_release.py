"""What is released: one version everywhere, a wheel, a source distribution that makes the same
wheel, a chart, bills of materials and provenance.
"""

import importlib.metadata
import json
import os
import re
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.release.artefacts import sha256
from tests.shipped.tools import ROOT, TOOLS, committed, run, tool
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
        f"mixpeek_watcher-{__version__}.data",  # the manual page
    }
    assert {"watcher/py.typed", "watcher/stores/sqlite/migrations/0001_initial.sql"} <= {*names}
    assert f"mixpeek_watcher-{__version__}.dist-info/licenses/LICENSE" in names
    assert not [name for name in names if "__pycache__" in name]
    shipped = {
        str(one.relative_to(ROOT))
        for one in (ROOT / "watcher").rglob("*")
        if one.suffix in (".py", ".sql", ".yaml")
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


# Bills of materials and provenance

_JUDGE = """
import json, sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from google.protobuf.json_format import ParseDict
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as Message
*bills, statement = [open(name).read() for name in sys.argv[1:]]
for bill in bills:
    assert (error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill)) is None, error
given = json.loads(statement)
message = ParseDict({"type": given.pop("_type"), **given}, Message())
Statement.copy_from_pb(message).validate()
"""
"""Runs where `.ci/install` put the libraries."""


def release(repository: Path, folder: Path, check: bool = True) -> str:
    """Release without the image, which test_image.py builds; return what went wrong."""
    tool("cyclonedx-py")
    command = (sys.executable, "-m", "scripts.release", "--without-image", folder)
    environ = {**os.environ, "TOOLS": str(TOOLS)}
    return run(*command, check=check, cwd=repository, env=environ).stderr


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return committed(tmp_path_factory.mktemp("repository"))


@pytest.fixture(scope="module")
def released(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("released")
    release(repository, folder)
    return folder


def closure(name: str, extras: frozenset[str], found: dict[str, str]) -> dict[str, str]:
    """Add the version of all that the distribution needs here to `found`, by canonical name."""
    for text in importlib.metadata.requires(name) or ():
        needed = Requirement(text)
        here = [needed.marker is None or needed.marker.evaluate({"extra": e}) for e in extras]
        if any(here) and canonicalize_name(needed.name) not in found:
            found[canonicalize_name(needed.name)] = importlib.metadata.version(needed.name)
            closure(needed.name, frozenset({"", *needed.extras}), found)
    return found


def test_the_wheels_bill_names_all_that_it_needs_with_version_hash_and_license(
    released: Path,
) -> None:
    (path,) = released.glob("*.whl.cdx.json")
    bill = json.loads(path.read_text())
    components = {canonicalize_name(one["name"]): one for one in bill["components"]}
    needed = closure("mixpeek-watcher", frozenset({"", "apprise", "postgresql"}), {})
    assert len(needed) > 20
    assert {name: one["version"] for name, one in components.items()} == needed
    lock = (ROOT / "requirements/runtime.lock").read_text()
    for name, one in components.items():
        (locked,) = re.findall(rf"^{name}==.*\n((?:    --hash.*\n?)+)", lock, re.MULTILINE)
        hashes = [
            value["content"]
            for reference in one["externalReferences"]
            if reference["type"] == "distribution"
            for value in reference.get("hashes", ())
        ]
        assert sorted(hashes) == sorted(re.findall(r"sha256:(\w+)", locked)), name
        assert one["licenses"], name
    refs = {one["bom-ref"] for one in bill["components"]}
    graph = {one["ref"]: {*one.get("dependsOn", ())} for one in bill["dependencies"]}
    assert refs <= graph.keys()
    direct = {components[canonicalize_name(name)]["bom-ref"] for name in ("click", "httpx")}
    assert direct <= graph[bill["metadata"]["component"]["bom-ref"]] <= refs


def test_every_file_is_a_subject_and_made_of_what_is_named(
    repository: Path, released: Path
) -> None:
    statement = json.loads((released / "provenance.intoto.json").read_text())
    subjects = {one["name"]: one["digest"]["sha256"] for one in statement["subject"]}
    files = {path.name: sha256(path) for path in released.iterdir()}
    assert subjects == {
        name: digest
        for name, digest in files.items()
        if name not in ("provenance.intoto.json", "SHA256SUMS")
    }
    assert {Path(name).suffix for name in subjects} == {".whl", ".gz", ".tgz", ".json"}
    for path in released.glob("*.cdx.json"):
        about = json.loads(path.read_text())["metadata"]["component"]
        assert about["hashes"][0]["content"] == files[path.name.removesuffix(".cdx.json")]
        assert about["version"] == __version__
    definition = statement["predicate"]["buildDefinition"]
    head = run("git", "rev-parse", "HEAD", cwd=repository).stdout.strip()
    assert definition["externalParameters"] == {"version": __version__, "commit": head}
    made_of = {one["name"]: one["digest"] for one in definition["resolvedDependencies"]}
    assert made_of.pop("source") == {"gitCommit": head}
    locks = {f"requirements/{one.name}": one for one in (ROOT / "requirements").glob("*.lock")}
    assert made_of == {name: {"sha256": sha256(path)} for name, path in locks.items()}
    run("sha256sum", "--check", "--strict", "SHA256SUMS", cwd=released)


def test_bills_and_statement_are_what_their_schemas_say(released: Path) -> None:
    tool("cyclonedx-py")
    files = (*released.glob("*.cdx.json"), released / "provenance.intoto.json")
    run(TOOLS / "release/bin/python", "-c", _JUDGE, *files)


def test_the_same_commit_makes_the_same_bytes(released: Path, tmp_path: Path) -> None:
    """In another folder, from files of another time."""
    again = tmp_path / "again"
    release(committed(tmp_path / "repository"), again)
    assert {one.name: sha256(one) for one in again.iterdir()} == {
        one.name: sha256(one) for one in released.iterdir()
    }


def test_helm_takes_the_chart_as_it_is_released(released: Path) -> None:
    (chart,) = released.glob("*.tgz")
    command = (tool("helm"), "template", "release", "--kube-version", "1.29.0")
    assert run(*command, chart).stdout == run(*command, ROOT / "charts/watcher").stdout


def test_neither_changed_files_nor_an_unpinned_base_are_released(tmp_path: Path) -> None:
    repository = committed(tmp_path / "repository")
    dockerfile = repository / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("@sha256:", "#"))
    folder = tmp_path / "dist"
    assert "@sha256" in release(repository, folder, check=False)
    run("git", "checkout", "--quiet", "Dockerfile", cwd=repository)
    (repository / "watcher/new.py").touch()
    assert "watcher/new.py" in release(repository, folder, check=False)
    assert not folder.exists()
