"""What is released: wheel, source distribution, chart and image, each the same from the same
commit.
"""

import gzip
import hashlib
import os
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from watcher import __version__

CHART = Path("charts/watcher")


class ReleaseError(Exception):
    """Why nothing can be released."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A commit and its files: `epoch` is its time in seconds, the time of all that is made of
    it.
    """

    folder: Path
    commit: str
    epoch: int


def run(*command: str | Path, folder: Path, **environ: str) -> str:
    """Run a program to its end; return what it printed. Raises `ReleaseError` if it fails."""
    done = subprocess.run(  # noqa: S603  # our own arguments
        [str(one) for one in command],
        cwd=folder,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ReleaseError(f"{command[0]} failed\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout.strip()


def sha256(path: Path) -> str:
    """Return the digest of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def source(folder: Path) -> Source:
    """Return the commit that is checked out. Raises `ReleaseError` where files differ from it."""
    if changed := run("git", "status", "--porcelain", folder=folder):
        raise ReleaseError(f"these files are not as committed:\n{changed}")
    commit, epoch = run("git", "log", "-1", "--format=%H %ct", folder=folder).split()
    return Source(folder=folder, commit=commit, epoch=int(epoch))


def build_distributions(source: Source, folder: Path) -> list[Path]:
    """Write wheel and source distribution into `folder`; return their paths."""
    before = {*folder.iterdir()}
    command = (sys.executable, "-m", "hatchling", "build", "--directory", folder)
    run(*command, folder=source.folder, SOURCE_DATE_EPOCH=str(source.epoch))
    return sorted({*folder.iterdir()} - before)


def package_chart(source: Source, folder: Path) -> Path:
    """Write the chart as `helm package` does, but with the commit's time; return its path."""
    path = folder / f"watcher-{__version__}.tgz"
    chart = source.folder / CHART
    names = run("git", "ls-files", "-z", "--", ".", folder=chart).split("\0")

    def normal(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.mtime, member.mode = source.epoch, 0o644
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    with (
        path.open("wb") as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=source.epoch) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        # Helm reads Chart.yaml first.
        for name in sorted(filter(None, names), key=lambda name: (name != "Chart.yaml", name)):
            archive.add(chart / name, f"{CHART.name}/{name}", filter=normal)
    return path


def build_image(
    source: Source,
    folder: Path,
    *,
    storage: Sequence[str | Path] = (),
    options: Sequence[str] = ("--pull",),
) -> Path:
    """Build the Dockerfile with buildah; return the folder with the image, in its `dir:` format.

    `storage` says where buildah works, `options` how it builds.
    """
    path = folder / f"mixpeek-watcher-{__version__}-image"
    name = f"mixpeek-watcher:{__version__}"
    run(
        *("buildah", *storage, "build", *options, "--format", "docker"),
        *("--timestamp", str(source.epoch), "--tag", name, "."),
        folder=source.folder,
    )
    run("buildah", *storage, "push", name, f"dir:{path}", folder=source.folder)
    return path
