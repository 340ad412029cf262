"""The examples: each is taken by what would read it."""

import re
import sys
from pathlib import Path

import pytest
import yaml

from tests.shipped.tools import ROOT, run, tool
from watcher import __version__
from watcher.configuration import checks, loader

EXAMPLES = ROOT / "config/examples"
KUBERNETES = sorted(EXAMPLES.glob("kubernetes-*.yaml"))
EXPOSURE = 20
"""Tenths; systemd calls up to 20 of 100 "OK"."""


@pytest.mark.parametrize("file", KUBERNETES, ids=lambda path: path.stem)
def test_kubernetes_would_take_it(file: Path) -> None:
    for version in ("1.29", "1.37"):
        run(tool("kubernetes-validate"), "--strict", "-k", version, file)


@pytest.mark.parametrize("file", KUBERNETES, ids=lambda path: path.stem)
def test_checkov_finds_nothing_else(file: Path) -> None:
    command = (
        tool("checkov"),
        "--skip-download",
        "--quiet",
        "--compact",
        "--framework",
        "kubernetes",
    )
    # The chart's reasons hold here, too; and which namespace it is, is the reader's choice.
    skipped = yaml.safe_load((ROOT / "charts/checkov.yaml").read_text())["skip-check"]
    run(*command, "--skip-check", ",".join([*skipped, "CKV_K8S_21"]), "--file", file)


def test_the_sidecar_starts_first_is_kept_alive_and_has_no_readiness_probe() -> None:
    (job,) = yaml.safe_load_all((EXAMPLES / "kubernetes-job.yaml").read_text())
    pod = job["spec"]["template"]["spec"]
    (sidecar,) = pod["initContainers"]
    assert sidecar["restartPolicy"] == "Always"
    assert {"startupProbe", "livenessProbe"} <= sidecar.keys()
    assert "readinessProbe" not in sidecar


def test_every_example_names_this_version() -> None:
    for file in (*KUBERNETES, *ROOT.glob("compose*.yaml")):
        assert set(re.findall(r"mixpeek-watcher:([\w.]+)", file.read_text())) == {__version__}


def test_the_sidecar_s_configuration_is_one(tmp_path: Path) -> None:
    _, config, _ = yaml.safe_load_all((EXAMPLES / "kubernetes-sidecar.yaml").read_text())
    for name in ("mixpeek-api-key", "slack-webhook"):
        (tmp_path / name).write_text("https://hooks.slack.com/services/T0/B0/x")
    text = config["data"]["watcher.yaml"].replace("/run/secrets/watcher", str(tmp_path))
    (tmp_path / "watcher.yaml").write_text(text)
    settings = loader.load(tmp_path / "watcher.yaml", {"HOME": str(tmp_path)})
    assert checks.warnings(settings) == []


def test_systemd_takes_the_unit_and_calls_its_sandbox_ok(tmp_path: Path) -> None:
    analyze = tool("systemd-analyze")
    unit = tmp_path / "watcher.service"
    text = (EXAMPLES / "watcher.service").read_text()
    assert "/opt/watcher/bin/watcher" in text
    unit.write_text(text.replace("/opt/watcher/bin/watcher", sys.executable))
    verified = run(analyze, "verify", "--man=no", unit)
    assert verified.stdout + verified.stderr == ""
    run(analyze, "security", "--offline=yes", f"--threshold={EXPOSURE}", unit)
