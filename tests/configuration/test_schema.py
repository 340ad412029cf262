"""The JSON Schema against the reader: both accept, or both reject."""

import json
from pathlib import Path
from typing import Annotated, Any

import jsonschema_rs
import pytest
from pydantic import Field

from tests.support.certificates import issue
from tests.support.records import SECRET
from watcher.configuration import loader
from watcher.configuration.schema import Described, schema
from watcher.core.errors import ConfigurationError
from watcher.core.setting_types import Model

SCHEMA = jsonschema_rs.Draft202012Validator(schema())
WEBHOOK = {"name": "a", "type": "webhook", "url": "https://x.example/", "secrets": [SECRET]}
ROOT = issue("Acme Root", authority=True)
LEAF = issue("watcher", ROOT, hosts=["127.0.0.1"])

TLS = {"certificate_file": "FOLDER/leaf", "key_file": "FOLDER/key"}


def webhook(**settings: Any) -> dict[str, Any]:
    """Return a file with one webhook; a setting of None is left out."""
    merged = {**WEBHOOK, **settings}
    return {"channels": [{key: value for key, value in merged.items() if value is not None}]}


ACCEPTED = [
    {},
    {"channels": None, "server": None, "polling": None},
    webhook(),
    webhook(headers={}),
    webhook(headers={"Authorization": "Bearer x"}),
    webhook(headers={"Authorization": {"file": "FOLDER/secret"}, "x-files": "1"}),
    webhook(headers={"hostname": "x", "x-webhook-id": "x", "filex": "x", "te2": "x"}),
    webhook(url=None, url_file="FOLDER/url"),
    webhook(secrets=None, secrets_file="FOLDER/signing"),
    webhook(ca_file="FOLDER/root", strict_certificates=True),
    {"server": {"api_token_file": "FOLDER/secret"}},
    {"server": {"socket": "/run/watcher/api.sock", "tls": None}},
    {"server": {"socket": None, "port": 1, "tls": TLS}},
    {"telemetry": {"tls": {**TLS, "client_ca_file": "FOLDER/root"}}},
    {"sources": [{"api_key_file": "FOLDER/secret"}]},
    {"sources": [{"name": "b", "timeout": "500ms", "requests_per_minute": None}]},
]
REJECTED = [
    webhook(headers={"Authorization_file": "FOLDER/secret"}),
    webhook(headers={"X-Key_FILE": "FOLDER/secret"}),
    webhook(headers={"Authorization": {"path": "FOLDER/secret"}}),
    webhook(headers={"Authorization": {"file": "FOLDER/secret", "more": 1}}),
    webhook(headers={"Authorization": {}}),
    webhook(headers={"Authorization": ""}),
    webhook(headers={"Authorization": 7}),
    webhook(headers={"Content-Length": "7"}),
    webhook(headers={"HOST": "x"}),
    webhook(headers={"Webhook-Id": "x"}),
    webhook(headers={"two words": "x"}),
    webhook(headers_file="FOLDER/secret"),
    webhook(url_file="FOLDER/url"),
    webhook(url=None),
    webhook(secrets=None),
    webhook(secrets=[]),
    webhook(type=None),
    webhook(client_key_file="FOLDER/root"),
    {"server": {"api_token": "made-up-api-token", "api_token_file": "FOLDER/secret"}},
    {"server": {"api_token": ""}},
    {"server": {"prot": 1}},
    {"server": {"api_token": "15-characters--"}},
    {"server": {"socket": "/run/watcher/api.sock", "port": 1}},
    {"server": {"socket": "/run/watcher/api.sock", "host": "127.0.0.1"}},
    {"server": {"socket": "/run/watcher/api.sock", "tls": TLS}},
    {"server": {"tls": {"certificate_file": "FOLDER/leaf"}}},
    {"telemetry": {"tls": {**TLS, "ca_file": "FOLDER/root"}}},
    {"channels": {}},
]


def in_folder(folder: Path, values: dict[str, Any]) -> dict[str, Any]:
    files = {
        "secret": b"made-up-api-token\n",
        "url": b"https://x.example/\n",
        "signing": SECRET.encode(),
        "root": ROOT.pem,
        "leaf": LEAF.pem,
        "key": LEAF.key_pem,
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    replaced: dict[str, Any] = json.loads(json.dumps(values).replace("FOLDER", str(folder)))
    return replaced


def loads(folder: Path, values: dict[str, Any]) -> bool:
    file = folder / "watcher.yaml"
    file.write_text(json.dumps(values))
    try:
        loader.load(file, {"MIXPEEK_API_KEY": "sk_x", "HOME": str(folder)})
    except ConfigurationError:
        return False
    return True


@pytest.mark.parametrize("values", ACCEPTED, ids=json.dumps)
def test_schema_and_reader_accept(tmp_path: Path, values: dict[str, Any]) -> None:
    values = in_folder(tmp_path, values)
    assert (loads(tmp_path, values), SCHEMA.is_valid(values)) == (True, True)


@pytest.mark.parametrize("values", REJECTED, ids=json.dumps)
def test_schema_and_reader_reject(tmp_path: Path, values: dict[str, Any]) -> None:
    values = in_folder(tmp_path, values)
    assert (loads(tmp_path, values), SCHEMA.is_valid(values)) == (False, False)


class Base(Model):
    """Settings of a plugin."""

    kept: int = 1
    """Inherited
    as it is."""
    changed: int = 1
    """Of the base."""
    redefined: int = 1
    """Of the base."""
    named: Annotated[int, Field(alias="as")] = 1
    """Under its alias."""
    without: int = 1


class Derived(Base):
    changed: int = 2
    """Of its own."""
    redefined: int = 2


def test_a_field_is_described_by_the_text_below_it() -> None:
    shown = Derived.model_json_schema(schema_generator=Described)["properties"]
    assert {name: value.get("description") for name, value in shown.items()} == {
        "kept": "Inherited\nas it is.",
        "changed": "Of its own.",
        "redefined": None,
        "as": "Under its alias.",
        "without": None,
    }
