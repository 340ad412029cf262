"""Bills of materials in CycloneDX: what the wheel needs, what is in the image, what the chart
starts.

Source of the format: https://cyclonedx.org/docs/1.6/json/.
"""

import copy
import email
import json
import re
import sys
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.release.artefacts import ReleaseError, Source, run, sha256
from watcher import __version__

Json = dict[str, Any]

LOCK = "requirements/runtime.lock"
_DISTRIBUTION = re.compile(r"(?:\./)?opt/watcher/lib/[^/]+/site-packages/[^/]+\.dist-info/METADATA")
_PACKAGES = re.compile(r"(?:\./)?var/lib/dpkg/status")


def of_wheel(source: Source, wheel: Path, cyclonedx: str) -> Json:
    """Return the bill of the wheel with all extras: versions, licenses and what depends on what of
    this environment, hashes of the lock.
    """
    environ = {"SOURCE_DATE_EPOCH": str(source.epoch)}
    # A test validates the result, which is another one.
    options = ("--output-reproducible", "--no-validate")
    project = ("--pyproject", "pyproject.toml")
    installed = (cyclonedx, "environment", *options, *project, sys.prefix)
    bill: Json = json.loads(run(*installed, folder=source.folder, **environ))
    pinned = (cyclonedx, "requirements", *options, LOCK)
    lock = (source.folder / LOCK).read_text()
    locked = _applicable(lock, json.loads(run(*pinned, folder=source.folder))["components"])

    kept = []
    for component in bill["components"]:
        if (pin := locked.get(canonicalize_name(component["name"]))) is None:
            continue
        if pin["version"] != component["version"]:
            raise ReleaseError(f"{component['name']} is not installed as locked in {LOCK}")
        references = component.get("externalReferences", [])
        kept.append({**component, "externalReferences": references + pin["externalReferences"]})
    bill["components"] = kept
    refs = {one["bom-ref"] for one in kept} | {bill["metadata"]["component"]["bom-ref"]}
    bill["dependencies"] = [
        {**one, "dependsOn": [ref for ref in one.get("dependsOn", ()) if ref in refs]}
        for one in bill["dependencies"]
        if one["ref"] in refs
    ]
    purl = f"pkg:pypi/mixpeek-watcher@{__version__}"
    return _about(bill, {"purl": purl, "hashes": _hashes(sha256(wheel))})


def of_image(wheel: Json, image: Path, base: str) -> Json:
    """Return the bill of the image: its distributions, Debian's packages, and the base."""
    bill = copy.deepcopy(wheel)
    known = _by_name(bill["components"])
    names = set()
    for text in _files(image, _DISTRIBUTION).values():
        found = email.message_from_string(text)
        name, version = canonicalize_name(found["Name"]), found["Version"]
        if name == "mixpeek-watcher":
            continue
        if name not in known or known[name]["version"] != version:
            raise ReleaseError(f"the image contains {name} {version}, which {LOCK} does not")
        names.add(name)
    ours = dict(wheel["metadata"]["component"], **{"bom-ref": "wheel"})
    bill["components"] = [known[name] for name in sorted(names)]
    bill["components"] += [ours, _base(base), *_debian(image)]
    bill["dependencies"] = []  # the wheel's bill has them
    digest = sha256(image / "manifest.json")
    return _about(
        bill,
        {
            "type": "container",
            "purl": f"pkg:oci/mixpeek-watcher@sha256:{digest}?tag={__version__}",
            "hashes": _hashes(digest),
        },
    )


def of_chart(wheel: Json, chart: Path, image: Path | None) -> Json:
    """Return the bill of the chart: the image that it starts."""
    bill = copy.deepcopy(wheel)
    started: Json = {"type": "container", "name": "mixpeek-watcher", "version": __version__}
    if image is not None:
        started["hashes"] = _hashes(sha256(image / "manifest.json"))
    bill["components"], bill["dependencies"] = [{**started, "bom-ref": "image"}], []
    purl = f"pkg:helm/watcher@{__version__}"
    return _about(bill, {"name": "watcher", "purl": purl, "hashes": _hashes(sha256(chart))})


def _about(bill: Json, component: Json) -> Json:
    bill["metadata"]["component"] |= {"version": __version__, **component}
    return bill


def _hashes(digest: str) -> list[Json]:
    return [{"alg": "SHA-256", "content": digest}]


def _applicable(lock: str, components: Iterable[Json]) -> dict[str, Json]:
    """Return the components of a lock, which is for all platforms, that are for this one."""
    lines = [Requirement(line.rstrip("\\")) for line in re.findall(r"^\w.*", lock, re.MULTILINE)]
    here = {
        canonicalize_name(line.name) for line in lines if not line.marker or line.marker.evaluate()
    }
    return {name: one for name, one in _by_name(components).items() if name in here}


def _by_name(components: Iterable[Json]) -> dict[str, Json]:
    return {canonicalize_name(one["name"]): one for one in components}


def _base(base: str) -> Json:
    """Return the base image `NAME:TAG@sha256:…` as a component."""
    name, tag, digest = re.fullmatch(r"(.+):(.+)@sha256:(\w+)", base).groups()  # type: ignore[union-attr]  # tested
    return {
        "bom-ref": "base",
        "type": "container",
        "name": name,
        "version": tag,
        "purl": f"pkg:docker/{name}@{tag}",
        "hashes": _hashes(digest),
    }


def _debian(image: Path) -> list[Json]:
    """Return Debian's packages in the image."""
    (status,) = _files(image, _PACKAGES).values()
    packages = [email.message_from_string(one) for one in status.strip().split("\n\n")]
    return [
        {
            "bom-ref": f"deb:{one['Package']}:{one['Architecture']}",
            "type": "library",
            "name": one["Package"],
            "version": one["Version"],
            "purl": f"pkg:deb/debian/{one['Package']}@{one['Version']}?arch={one['Architecture']}",
        }
        for one in packages
        if one["Status"] == "install ok installed"
    ]


def _files(image: Path, pattern: re.Pattern[str]) -> Mapping[str, str]:
    """Return the files of the image whose whole path matches, by path; upper layers hide lower
    ones.
    """
    found: dict[str, str] = {}
    manifest = json.loads((image / "manifest.json").read_text())
    for layer in manifest["layers"]:
        with tarfile.open(image / layer["digest"].removeprefix("sha256:")) as archive:
            for member in archive:
                if pattern.fullmatch(member.name) and (file := archive.extractfile(member)):
                    found[member.name] = file.read().decode()
    return found
