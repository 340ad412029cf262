"""Build everything that is released, with its bills of materials and provenance.

python -m scripts.release [--without-image] [--builder URI] FOLDER

Everything but the image is the same bytes from the same commit. `.ci/install` brings cyclonedx-py
and buildah. docs/verifying-releases.md describes the files.
"""

import argparse
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from scripts.release import artefacts, bills, provenance
from scripts.release.artefacts import ReleaseError, sha256
from watcher import __version__

ROOT = Path(__file__).parents[2]
TOOLS = Path(os.environ.get("TOOLS", ROOT / ".tools"))
LOCAL = "urn:mixpeek-watcher:builder:local"


def base_image(folder: Path) -> str:
    """Return what the Dockerfile starts from. Raises `ReleaseError` if that is not one digest."""
    text = (folder / "Dockerfile").read_text()
    bases: set[str] = {*re.findall(r"^FROM (\S+)", text, re.MULTILINE)}
    pinned = [base for base in bases if re.fullmatch(r"\S+:\S+@sha256:[0-9a-f]{64}", base)]
    if len(bases) != 1 or not pinned:
        raise ReleaseError("Dockerfile: both stages must start from one image, NAME:TAG@sha256:…")
    return pinned[0]


def release(
    root: Path,
    folder: Path,
    *,
    build_image: Callable[[artefacts.Source, Path], Path] | None,
    builder: str,
) -> None:
    """Build what is released of the commit in `root` into `folder`; the image with `build_image`,
    if there is to be one.
    """
    base = base_image(root)
    source = artefacts.source(root)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ReleaseError(f"{folder} is not empty")
    wheel, sdist = artefacts.build_distributions(source, folder)
    chart = artefacts.package_chart(source, folder)
    built = None if build_image is None else build_image(source, folder)

    of_wheel = bills.of_wheel(source, wheel, _program("cyclonedx-py"))
    made = [wheel, sdist, chart, write(folder, wheel.name, of_wheel)]
    made.append(write(folder, chart.name, bills.of_chart(of_wheel, chart, built)))
    subjects = {path.name: sha256(path) for path in made}
    if built is not None:
        path = write(folder, built.name, bills.of_image(of_wheel, built, base))
        subjects |= {path.name: sha256(path), **image_subject(built)}
    used = None if built is None else base
    said = provenance.statement(source, subjects, base=used, builder=builder)
    (folder / "provenance.intoto.json").write_text(_text(said))
    sums = [f"{sha256(path)}  {path.name}\n" for path in sorted(folder.iterdir()) if path.is_file()]
    (folder / "SHA256SUMS").write_text("".join(sums))


def image_subject(image: Path) -> dict[str, str]:
    """Return the image's name with the digest that a registry gives it."""
    return {f"mixpeek-watcher:{__version__}": sha256(image / "manifest.json")}


def write(folder: Path, name: str, bill: Mapping[str, Any]) -> Path:
    """Write the bill of materials of the artefact `name`; return its path."""
    path = folder / f"{name}.cdx.json"
    path.write_text(_text(bill))
    return path


def _text(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{TOOLS / 'bin'}:{os.environ['PATH']}")
    if found is None:
        raise ReleaseError(f"{name} is missing; .ci/install brings it")
    return found


def main() -> str | None:
    """Return why nothing can be released, if so."""
    parser = argparse.ArgumentParser(prog="python -m scripts.release", description=__doc__)
    parser.add_argument("folder", type=Path, help="an empty folder, or one to create")
    parser.add_argument("--without-image", action="store_true", help="no buildah or no registry")
    parser.add_argument("--builder", default=LOCAL, help="URI of what runs this, for provenance")
    options = parser.parse_args()
    folder: Path = options.folder.resolve()
    try:
        build_image = None if options.without_image else artefacts.build_image
        release(ROOT, folder, build_image=build_image, builder=options.builder)
    except ReleaseError as error:
        return str(error)
    return None


if __name__ == "__main__":
    sys.exit(main())
