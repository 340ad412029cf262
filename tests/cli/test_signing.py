"""`watcher sign` and `watcher verify`."""

import json
from pathlib import Path

import pytest

from tests.cli.harness import Finished, run
from tests.support.records import SECRET

VARIABLE = "WATCHER_WEBHOOK_SECRETS"
BODY = '{"type": "task.failed"}'


@pytest.fixture
def body(tmp_path: Path) -> str:
    file = tmp_path / "body.json"
    file.write_text(BODY)
    return str(file)


def verify(body: str, headers: list[str], *arguments: str) -> Finished:
    return run("verify", body, *(part for line in headers for part in ("-H", line)), *arguments)


def test_a_signature_is_verified(
    body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secrets"
    file.write_text(f"whsec_{'QUJD' * 11}\n{SECRET} until=2126-12-01T00:00:00Z\n")
    headers = run("sign", body, "--secrets-file", str(file)).stdout.splitlines()
    assert [line.partition(":")[0] for line in headers] == [
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
    ]
    monkeypatch.setenv(VARIABLE, SECRET)
    valid = verify(body, headers)
    assert (valid.exit_code, valid.stdout) == (0, "ok: signed by secret 1\n")
    Path(body).write_text(f"{BODY} ")
    invalid = verify(body, headers)
    assert (invalid.exit_code, invalid.stdout.partition(":")[0]) == (1, "invalid")


def test_the_id_and_the_time_can_be_set(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, SECRET)
    signed = run("sign", body, "--id", "msg_1", "--timestamp", "1700000000", "--json")
    headers = json.loads(signed.stdout)
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("msg_1", "1700000000")
    lines = [f"{name}: {value}" for name, value in headers.items()]
    assert verify(body, lines, "--at", "1700000010").exit_code == 0
    expired = verify(body, lines)
    assert (expired.exit_code, expired.stdout.startswith("invalid: ")) == (1, True)
    assert "webhook-signature is missing" in verify(body, lines[:2]).stdout


@pytest.mark.parametrize(
    ("command", "secrets", "error"),
    [
        ("sign", "", f"missing secret: set --secrets-file or {VARIABLE}"),
        ("verify", "", f"missing secret: set --secrets-file or {VARIABLE}"),
        ("sign", "whsec_QUJD", "24 to 64"),
        ("sign", "whpk_QUJD", "public key"),
        ("verify", "whpk_QUJD", "32"),
    ],
)
def test_an_unusable_secret_is_one_line_and_exit_2(
    body: str, command: str, secrets: str, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, secrets)
    finished = run(command, body)
    assert finished.exit_code == 2
    assert error in finished.stderr
    assert finished.stderr.count("\n") == 1
    assert secrets not in finished.stderr or not secrets
