"""Files of certificates and keys that cannot be used: one line, with what is wrong."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    pkcs12,
)

from tests.support.certificates import issue
from watcher.configuration import loader
from watcher.core.errors import ConfigurationError

ENVIRON = {"MIXPEEK_API_KEY": "sk_hidden_0123"}
ROOT = issue("Acme Root", authority=True)
CLIENT = issue("client", ROOT)
FILES = {
    "root": ROOT.pem,
    "empty": b"\n",
    "der": ROOT.der,
    "der-key": CLIENT.encoded_key(Encoding.DER),
    "key": CLIENT.key_pem,
    "other-key": ROOT.key_pem,
    "locked-key": CLIENT.encoded_key(Encoding.PEM, b"passphrase"),
    "certificate": CLIENT.pem,
    "both": CLIENT.pem + CLIENT.key_pem,
    "broken": CLIENT.pem.replace(b"M", b"A"),
    "text": b"not a certificate",
    "p12": pkcs12.serialize_key_and_certificates(
        b"client", CLIENT.key, CLIENT.certificate, None, NoEncryption()
    ),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def problem(folder: Path, **settings: str) -> str:
    keys = "".join(f"  {key}: {folder}/{name}\n" for key, name in settings.items())
    file = folder / "watcher.yaml"
    file.write_text(f"sources:\n-{keys[1:]}")
    with pytest.raises(ConfigurationError) as caught:
        loader.load(file, {**ENVIRON, "HOME": str(folder)})
    (line,) = caught.value.problems
    assert "\n" not in line
    return line.replace(f"{folder}/", "").replace(str(folder), "folder")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("", " cannot be used: it is a directory; expected a PEM file"),
        ("missing", "missing cannot be read: No such file or directory"),
        ("empty", "empty cannot be used: no valid PEM, the file is empty"),
        ("der", "der cannot be used: it is DER, not PEM; convert it with `openssl x509"),
        ("key", "key cannot be used: no certificate in it, only a private key"),
        ("p12", "p12 cannot be used: it is PKCS #12, not PEM; convert it with `openssl pkcs12"),
        ("text", "text cannot be used: no valid PEM in it"),
        ("broken", "broken cannot be used: no valid PEM certificate"),
    ],
)
def test_a_ca_file(folder: Path, name: str, text: str) -> None:
    line = problem(folder, ca_file=name)
    assert line.startswith("watcher.yaml:2: sources[0].ca_file: ")
    assert text in line


@pytest.mark.parametrize(
    ("certificate", "key", "text"),
    [
        ("empty", None, "_certificate_file: empty cannot be used: no valid PEM, the file is empty"),
        ("der", None, "_certificate_file: der cannot be used: it is DER, not PEM"),
        ("p12", None, "_certificate_file: p12 cannot be used: it is PKCS #12, not PEM"),
        ("key", None, "_certificate_file: key cannot be used: no certificate in it, only a priv"),
        ("certificate", None, "no private key in it; set client_key_file to the file of its key"),
        ("certificate", "other-key", "_key_file: other-key cannot be used: the key does not bel"),
        ("certificate", "locked-key", "_key_file: locked-key cannot be used: the key has a passp"),
        ("certificate", "der-key", "_key_file: der-key cannot be used: it is a key in DER, not"),
        ("certificate", "root", "_key_file: root cannot be used: no private key in it, only a c"),
        ("certificate", "missing", "_key_file: missing cannot be read: No such file or directory"),
        ("certificate", "empty", "_key_file: empty cannot be used: no valid PEM, the file is em"),
        ("broken", "key", "cannot be used: no valid PEM certificate and key"),
    ],
)
def test_a_client_certificate(folder: Path, certificate: str, key: str | None, text: str) -> None:
    settings = {"client_certificate_file": certificate}
    if key is not None:
        settings["client_key_file"] = key
    assert text in problem(folder, **settings)


def test_valid_files_are_accepted(folder: Path) -> None:
    for text in (
        f"{{ca_file: {folder}/root, client_certificate_file: {folder}/both}}",
        f"{{client_certificate_file: {folder}/certificate, client_key_file: {folder}/key}}",
    ):
        file = folder / "watcher.yaml"
        file.write_text(f"sources: [{text}]")
        assert loader.load(file, {**ENVIRON, "HOME": str(folder)}).files


@pytest.mark.parametrize("section", ["server", "telemetry"])
@pytest.mark.parametrize(
    ("certificate", "key", "authorities", "text"),
    [
        ("missing", "key", None, "certificate_file: missing cannot be read: No such file or dir"),
        ("key", "key", None, "certificate_file: key cannot be used: no certificate in it, only a"),
        ("certificate", "other-key", None, "key_file: other-key cannot be used: the key does not"),
        ("certificate", "locked-key", None, "key_file: locked-key cannot be used: the key has a"),
        ("certificate", "key", "text", "client_ca_file: text cannot be used: no valid PEM in it"),
        ("certificate", "key", "key", "client_ca_file: key cannot be used: no certificate in it"),
    ],
)
def test_the_files_of_a_listener(
    folder: Path, section: str, certificate: str, key: str, authorities: str | None, text: str
) -> None:
    line = listener_problem(
        folder, section, certificate_file=certificate, key_file=key, client_ca_file=authorities
    )
    assert line.startswith(f"watcher.yaml:1: {section}.tls.{text}")


def test_unknown_keys_of_a_listener_name_the_nearest(folder: Path) -> None:
    line = listener_problem(folder, "server", certificate_file="certificate", key_fil="key")
    assert "server.tls.key_fil: unknown key; did you mean 'key_file'?" in line
    assert "server.tls.key_file: field required" in line


def listener_problem(folder: Path, section: str, **files: str | None) -> str:
    tls = {key: f"{folder}/{name}" for key, name in files.items() if name is not None}
    file = folder / "watcher.yaml"
    file.write_text(json.dumps({section: {"tls": tls}}))
    with pytest.raises(ConfigurationError) as caught:
        loader.load(file, {**ENVIRON, "HOME": str(folder)})
    return " ".join(caught.value.problems).replace(f"{folder}/", "")
