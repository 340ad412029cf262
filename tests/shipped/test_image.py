"""The image, built by buildah on a stand-in base and run as a container runs it: first process, no
rights, no writing.

The stand-in is Debian with its own Python under the name in the Dockerfile, and with this machine's
settings of pip; the Dockerfile itself is built as it is.
"""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import httpx
import pytest
from packaging.utils import canonicalize_name

from scripts.release import bills, provenance
from scripts.release.__main__ import image_subject, release
from scripts.release.artefacts import ReleaseError, Source, build_image, sha256
from tests.shipped.tools import ROOT, TOOLS, committed, free_port, lacking, run, tool
from watcher import __version__

USER = 65532
BUILD = {**os.environ, "BUILDAH_ISOLATION": "chroot"}
PIP_SETTINGS = (
    Path("/etc/pip.conf"),
    Path.home() / ".config/pip/pip.conf",
    Path.home() / ".pip/pip.conf",
)
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PATIENCE = 30.0
EPOCH = 1_700_000_000


class Image:
    """What was built: its configuration, its files in a folder, and the image as released."""

    def __init__(self, config: Mapping[str, Any], root: Path, released: Path) -> None:
        self.config = config
        self.root = root
        self.released = released

    def command(self, state: Path, *arguments: str, **environ: str) -> list[str]:
        """Return what runs `arguments` (none: what the image says) the way a strict container
        runtime would.
        """
        settings = dict(one.split("=", 1) for one in self.config["Env"]) | environ
        variables = [part for name, value in settings.items() for part in ("--setenv", name, value)]
        return [
            *(tool("setpriv"), f"--reuid={USER}", f"--regid={USER}", "--clear-groups"),
            *(
                tool("bwrap"),
                "--ro-bind",
                str(self.root),
                "/",
                "--proc",
                "/proc",
                "--dev",
                "/dev",
                "--tmpfs",
                "/tmp",
            ),
            *("--bind", str(state), "/var/lib/watcher", "--chdir", self.config["WorkingDir"]),
            *(
                "--unshare-user",
                "--unshare-pid",
                "--unshare-ipc",
                "--as-pid-1",
                "--cap-drop",
                "ALL",
            ),
            *("--die-with-parent", "--clearenv", *variables),
            *(arguments or (*self.config["Entrypoint"], *self.config["Cmd"])),
        ]


def _stand_in_base(folder: Path) -> None:
    """Make a base of `.tools/base` that installs packages as this machine does."""
    run("cp", "--archive", TOOLS / "base", folder)
    shutil.copy(CERTIFICATES, folder / str(CERTIFICATES).lstrip("/"))
    for settings in PIP_SETTINGS:
        if settings.is_file():
            copied = folder / str(settings).lstrip("/")
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(settings, copied)


def bases() -> set[str]:
    """Return every image that the Dockerfile starts from or copies from, its own stages aside."""
    text = (ROOT / "Dockerfile").read_text()
    used = re.findall(r"^FROM (?:--\S+ )*(\S+)|--from=(\S+)|\bfrom=([^\s,]+)", text, re.MULTILINE)
    stages = re.findall(r"^FROM .* AS (\S+)", text, re.MULTILINE)
    return {name for names in used for name in names if name} - {*stages}


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    buildah = tool("buildah")
    for program in ("bwrap", "setpriv"):
        tool(program)
    if not (TOOLS / "base").is_dir():
        lacking("a stand-in for the base image")
    if os.geteuid() != 0:
        lacking("root, to build without an engine")
    # Not pytest's folder: the container's user has to be able to enter it.
    with tempfile.TemporaryDirectory(prefix="watcher-image-") as name:
        folder = Path(name)
        folder.chmod(0o755)

        storage = (
            *("--storage-driver", "vfs"),
            *("--root", folder / "storage", "--runroot", folder / "run"),
        )

        def build(*arguments: str | Path) -> str:
            return run(buildah, *storage, *arguments, env=BUILD, cwd=ROOT).stdout.strip()

        _stand_in_base(folder / "base")
        (base,) = bases()
        scratch = build("from", "scratch")
        build("add", "--quiet", scratch, folder / "base", "/")
        build("commit", "--quiet", scratch, "localhost/stand-in")
        stand_in = f"{base}=container-image://localhost/stand-in"
        options = ("--pull=false", "--isolation", "chroot", "--build-context", stand_in)
        source = Source(folder=ROOT, commit="made-up", epoch=EPOCH)
        built = build_image(source, folder, storage=storage, options=options)
        tag = f"mixpeek-watcher:{__version__}"
        config = json.loads(build("inspect", "--type", "image", tag))["Docker"]["config"]
        mounted = build("mount", build("from", "--pull=false", tag))
        run("cp", "--archive", mounted, folder / "root")
        yield Image(config, folder / "root", built)


@pytest.fixture
def state() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="watcher-state-") as name:
        os.chown(name, USER, USER)
        yield Path(name)


@contextmanager
def container(
    image: Image, state: Path, **environ: str
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the image until the end of the block; gives the process and its address."""
    port = free_port()
    settings = {"MIXPEEK_API_KEY": "sk_made_up", "WATCHER_SERVER__PORT": str(port), **environ}
    process = subprocess.Popen(
        image.command(state, **settings), stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def first_process(process: subprocess.Popen[str]) -> int:
    """Return the number, outside, of the container's first process: bwrap's child."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if children:
            return int(children[0])
        time.sleep(0.005)
    raise AssertionError("no process was started")


def processor_seconds(number: int) -> float:
    """Return what a process has used of the processor; the clock would show the machine's load."""
    user, system = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def until_ready(url: str) -> None:
    """Wait until the daemon says that it is ready."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/readyz", trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.01)
    raise AssertionError("it did not become ready")


def test_hadolint_finds_nothing() -> None:
    assert run(tool("hadolint"), ROOT / "Dockerfile").stdout == ""


def test_the_base_is_pinned_by_digest() -> None:
    (base,) = bases()
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", base)


def test_the_configuration_is_what_the_dockerfile_promises(image: Image) -> None:
    config = image.config
    assert config["User"] == f"{USER}:{USER}"
    assert (config["Entrypoint"], config["Cmd"]) == (["watcher"], ["run"])
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"] == ["CMD", "watcher", "healthcheck"]
    assert [*config["Volumes"]] == ["/var/lib/watcher"]
    assert config["Labels"]["org.opencontainers.image.version"] == __version__
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert config["Labels"]["org.opencontainers.image.licenses"] == project["license"]


def test_it_is_ready_soon_healthy_and_ends_on_sigterm(image: Image, state: Path) -> None:
    with container(image, state) as (process, url):
        until_ready(url)
        took = processor_seconds(first_process(process))
        probe = run(
            *image.command(state, *image.config["Healthcheck"]["Test"][1:], WATCHER_URL=url)
        )
        assert probe.stdout.endswith("ok: ok\n")
        os.kill(first_process(process), signal.SIGTERM)
        said = process.communicate(timeout=PATIENCE)[1]
        assert process.returncode == 0, said
        assert "stopping" in said
    assert took < 3, f"ready after {took:.1f} s of the processor"
    assert {one.name for one in state.iterdir()} >= {"watcher.db"}
    dead = run(*image.command(state, "watcher", "healthcheck", WATCHER_URL=url), check=False)
    assert dead.returncode == 1


def test_sigterm_before_the_start_ends_it(image: Image, state: Path) -> None:
    with container(image, state) as (process, _):
        inside = first_process(process)
        status = Path(f"/proc/{inside}/status")
        while (
            not int(re.findall(r"SigCgt:\s*(\w+)", status.read_text())[0], 16)
            & 1 << signal.SIGTERM - 1
        ):
            time.sleep(0.001)
        os.kill(inside, signal.SIGTERM)
        assert process.wait(timeout=PATIENCE) in (0, 128 + signal.SIGTERM)


def test_without_a_key_it_says_so(image: Image, state: Path) -> None:
    with container(image, state, MIXPEEK_API_KEY="") as (process, _):
        said = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 2
    assert "MIXPEEK_API_KEY: sources[0].api_key: must not be empty" in said


def test_a_state_folder_of_another_user_is_one_clear_line(image: Image, state: Path) -> None:
    os.chown(state, 0, 0)
    state.chmod(0o555)
    with container(image, state) as (process, _):
        said = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 2
    assert "Traceback" not in said
    assert "/var/lib/watcher" in said.splitlines()[-1]


def test_nothing_but_the_runtime_is_inside(image: Image) -> None:
    ours = image.root / "opt/watcher"
    names = {one.name for one in ours.rglob("*") if one.is_dir() and not one.is_symlink()}
    assert not names & {"test", "tests", ".cache", "pip", "hatchling", "pytest", "mypy"}
    assert not (image.root / "opt/build").exists()
    assert not (image.root / "src").exists()
    programs = {
        one.name
        for folder in ("usr/bin", "usr/local/bin")
        for one in (image.root / folder).iterdir()
    }
    assert not {
        name
        for name in programs
        if re.fullmatch(r"(.*-)?(gcc|g\+\+|cc|clang|ld|make|pip3?)(-[\d.]+)?", name)
    }
    assert not [*(image.root / "root").rglob("*pip*/http*")]


def test_nothing_inside_belongs_to_the_user_but_its_folder(image: Image) -> None:
    written = [one for one in image.root.rglob("*") if one.lstat().st_uid == USER]
    assert written == [image.root / "var/lib/watcher"]
    loose = [
        one for one in (image.root / "opt/watcher").rglob("*") if one.lstat().st_mode & stat.S_IWOTH
    ]
    assert [one for one in loose if not one.is_symlink()] == []


def test_its_bill_names_what_is_inside(image: Image) -> None:
    """The wheel's bill is another test's; here it is one made of the lock."""
    lock = (ROOT / "requirements/runtime.lock").read_text()
    pins = [
        {"name": name, "version": version}
        for name, version in re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE)
    ]
    about = {"type": "application", "name": "mixpeek-watcher", "version": __version__}
    wheel = {"metadata": {"component": about}, "components": pins}
    (base,) = bases()
    bill = bills.of_image(wheel, image.released, base)

    digest = sha256(image.released / "manifest.json")
    manifest = json.loads((image.released / "manifest.json").read_text())
    for blob in (manifest["config"], *manifest["layers"]):
        hexadecimal = blob["digest"].removeprefix("sha256:")
        assert sha256(image.released / hexadecimal) == hexadecimal
    assert bill["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": digest}]
    assert image_subject(image.released) == {f"mixpeek-watcher:{__version__}": digest}

    named = {(canonicalize_name(one["name"]), one["version"]) for one in bill["components"]}
    site = image.root / "opt/watcher/lib"
    installed = {
        (canonicalize_name(one.name), one.version)
        for one in distributions(path=[str(next(site.glob("python*/site-packages")))])
    }
    assert len(installed) > 20
    assert installed <= named
    command = ("dpkg-query", "--admindir", image.root / "var/lib/dpkg", "--show")
    shown = run(*command, "--showformat", "${Package} ${Version}\n").stdout
    packages = {tuple(line.split()) for line in shown.splitlines()}
    assert len(packages) > 50
    debian = [one for one in bill["components"] if one.get("purl", "").startswith("pkg:deb/")]
    assert {(one["name"], one["version"]) for one in debian} == packages
    said = provenance.statement(
        Source(folder=ROOT, commit="made-up", epoch=EPOCH), {}, base=base, builder="urn:x"
    )
    made_of = said["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert made_of[-1] == {
        "name": base.partition("@")[0],
        "digest": {"sha256": base.partition("sha256:")[2]},
    }


def test_a_release_with_the_image_names_its_digest_everywhere(image: Image, tmp_path: Path) -> None:
    """The whole of `python -m scripts.release`, but for the pull of the base."""
    tool("cyclonedx-py")
    folder = tmp_path / "dist"

    def built(_: Source, released: Path) -> Path:
        (released / image.released.name).symlink_to(image.released)
        return released / image.released.name

    repository = committed(tmp_path / "repository")
    release(repository, folder, build_image=built, builder="urn:made-up")

    digest = sha256(image.released / "manifest.json")
    files = {one.name for one in folder.iterdir() if one.is_file()}
    sums = dict(line.split("  ")[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert {*sums} == files - {"SHA256SUMS"}
    said = json.loads((folder / "provenance.intoto.json").read_text())
    subjects = {one["name"]: one["digest"]["sha256"] for one in said["subject"]}
    tag = f"mixpeek-watcher:{__version__}"
    assert subjects == {tag: digest} | {
        name: sum_ for name, sum_ in sums.items() if name != "provenance.intoto.json"
    }
    made_of = said["predicate"]["buildDefinition"]["resolvedDependencies"]
    (base,) = bases()
    assert made_of[-1]["digest"] == {"sha256": base.partition("sha256:")[2]}
    for name in (f"watcher-{__version__}.tgz", image.released.name):
        assert digest in (folder / f"{name}.cdx.json").read_text()


def test_what_the_lock_does_not_name_is_no_part_of_an_image(image: Image) -> None:
    about = {"type": "application", "name": "mixpeek-watcher", "version": __version__}
    with pytest.raises(ReleaseError, match="which requirements"):
        bills.of_image({"metadata": {"component": about}, "components": []}, image.released, "x")


def test_the_compose_files_are_such() -> None:
    files = sorted(ROOT.glob("compose*.yaml"))
    assert len(files) == 2
    run(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", *files)
