"""The files of the page: in the wheel, and the vendored script as its package has it."""

import base64
import hashlib
import io
import json
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

from tests.shipped.tools import ROOT, lacking, run

PAGE = ROOT / "watcher/api/page"


def test_the_wheel_has_every_template_and_asset(tmp_path: Path) -> None:
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path, cwd=ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        packed = set(files.namelist())
    for folder in ("templates", "static"):
        needed = {str(file.relative_to(ROOT)) for file in (PAGE / folder).iterdir()}
        assert len(needed) >= 5
        assert needed <= packed


def test_the_vendored_script_is_that_of_its_package(tmp_path: Path) -> None:
    locked = json.loads((PAGE / "package-lock.json").read_text())["packages"]
    (package,) = (one for name, one in locked.items() if name)
    npm = shutil.which("npm")
    if npm is None:
        lacking("npm")
    wanted = f"idiomorph@{package['version']}"
    run(str(npm), "pack", wanted, "--pack-destination", tmp_path, cwd=tmp_path)
    (archive,) = tmp_path.glob("*.tgz")
    content = archive.read_bytes()
    digest = base64.b64encode(hashlib.sha512(content).digest()).decode()
    assert package["integrity"] == f"sha512-{digest}"
    with tarfile.open(fileobj=io.BytesIO(content)) as files:
        for name, ours in {
            "dist/idiomorph.min.js": "idiomorph.min.js",
            "LICENSE": "idiomorph.LICENSE",
        }.items():
            packed = files.extractfile(f"package/{name}")
            assert packed is not None
            assert packed.read() == (PAGE / "static" / ours).read_bytes()
