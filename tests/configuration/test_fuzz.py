"""`config check` of mutated files: settings or one line for each error, soon, and no secret.

`FUZZ_EXAMPLES=20000 scripts/test tests/configuration/test_fuzz.py` tries more of them.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cli.harness import Finished, run
from tests.configuration.mutations import CANARY, ENVIRON, SECRETS, mutated, variables
from tests.support.secrets import own_secrets
from watcher.configuration import checks, file_rights, loader
from watcher.core.errors import ConfigurationError
from watcher.core.masked_settings import masked

_FEW = 100
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", _FEW))
SECONDS = 10.0
"""CPU time for a file of up to 1 MiB, on a slow machine."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "secret").write_text(f"{CANARY}-secret\n")
    (folder / "url").write_text(f"https://hooks.slack.com/services/T0/B0/{CANARY}\n")
    return folder


@pytest.fixture
def environ(folder: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in [name for name in os.environ if name.startswith(("WATCHER", "MIXPEEK"))]:
        monkeypatch.delenv(name)
    for name, value in {**ENVIRON, "HOME": str(folder)}.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def check(finished: Finished) -> None:
    assert finished.exit_code in (0, 2), finished
    lines = finished.stderr.splitlines()
    assert all(line.startswith("watcher: ") for line in lines), finished.stderr
    assert len(lines) <= 110
    assert (finished.exit_code == 2) == any(
        not line.startswith("watcher: warning: ") for line in lines
    )
    for secret in SECRETS:
        assert secret not in finished.stdout + finished.stderr


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES == _FEW,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 2**48))
def test_a_mutated_file_is_settings_or_errors(
    folder: Path, environ: Mapping[str, str], seed: int
) -> None:
    file = folder / "watcher.yaml"
    file.write_bytes(mutated(Random(seed), folder))
    started = time.process_time()
    with own_secrets():  # what one example has masked could hide the fault of the next
        finished = run("config", "check", str(file))
    check(finished)
    if finished.exit_code == 0:
        check(run("config", "show", "-c", str(file)))
        check(run("config", "show", "-c", str(file), "--json"))
    assert time.process_time() - started < SECONDS


def shown_of(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield what is shown of a configuration in variables."""
    try:
        loaded = loader.load(None, environ)
    except ConfigurationError as error:
        yield from error.problems
    else:
        yield from checks.warnings(loaded)
        yield from file_rights.warnings(loaded, None)
        yield json.dumps(masked(loaded))


@settings(max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES == _FEW)
@given(seed=st.integers(0, 2**48))
def test_mutated_variables_are_settings_or_errors(folder: Path, seed: int) -> None:
    environ = variables(Random(seed), folder)
    with own_secrets():
        shown = [*shown_of(environ)]
    assert shown
    assert all("\n" not in line for line in shown)
    assert not any(secret in line for secret in SECRETS for line in shown)
