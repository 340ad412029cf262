"""What was made, of what and by whom: an in-toto statement with SLSA's provenance.

Source of the format: https://slsa.dev/spec/v1.0/provenance.
"""

import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from scripts.release.artefacts import Source, sha256
from watcher import __version__

BUILD_TYPE = "urn:mixpeek-watcher:release:v1"
"""docs/verifying-releases.md describes it."""


def statement(
    source: Source, subjects: Mapping[str, str], *, base: str | None, builder: str
) -> dict[str, Any]:
    """Return the statement on `subjects`, SHA-256 digests by name. `base` is what the image was
    built on, if there is one; `builder` is a URI.
    """
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {"name": subject, "digest": {"sha256": digest}} for subject, digest in subjects.items()
        ],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"version": __version__, "commit": source.commit},
                "internalParameters": {
                    "SOURCE_DATE_EPOCH": source.epoch,
                    "python": platform.python_version(),
                },
                "resolvedDependencies": [
                    {"name": "source", "digest": {"gitCommit": source.commit}},
                    *_locks(source.folder),
                    *_image(base),
                ],
            },
            "runDetails": {"builder": {"id": builder}},
        },
    }


def _locks(folder: Path) -> Iterable[dict[str, Any]]:
    for path in sorted((folder / "requirements").glob("*.lock")):
        yield {"name": f"requirements/{path.name}", "digest": {"sha256": sha256(path)}}


def _image(base: str | None) -> Iterable[dict[str, Any]]:
    if base is not None:
        name, _, digest = base.partition("@sha256:")
        yield {"name": name, "digest": {"sha256": digest}}
