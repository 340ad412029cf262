"""Which rights of files are worth a warning, at start and by `config check`."""

import os
from pathlib import Path

import pytest

from tests.support.certificates import issue
from tests.support.records import SECRET
from watcher.configuration import file_rights, loader

LEAF = issue("watcher", hosts=["127.0.0.1"])


class Files:
    """A configuration with a secret, certificates and a store, all of which only we can access."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, content in {
            "token": b"made-up-api-token",
            "certificate": LEAF.pem,
            "key": LEAF.key_pem,
            "store": b"",
            "store-wal": b"",
        }.items():
            (folder / name).write_bytes(content)
            (folder / name).chmod(0o600)
        self.write("")

    def write(self, channels: str, mode: int = 0o600) -> None:
        config = self.folder / "watcher.yaml"
        config.write_text(f"""
server:
  api_token_file: {self.folder}/token
  tls: {{certificate_file: {self.folder}/certificate, key_file: {self.folder}/key}}
store: {{url: "sqlite:///{self.folder}/store"}}
channels: [{channels}]
""")
        config.chmod(mode)

    def warnings(self, *, read_only: bool = False) -> list[str]:
        config = self.folder / "watcher.yaml"
        settings = loader.load(config, {"MIXPEEK_API_KEY": "sk_x", "HOME": str(self.folder)})
        found = file_rights.warnings(settings, config, is_read_only=lambda _: read_only)
        return [line.replace(f"{self.folder}/", "") for line in found]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.mark.parametrize(
    ("name", "mode", "fault"),
    [
        ("token", 0o644, "every user of this host can read it"),
        ("token", 0o604, "every user of this host can read it"),
        ("token", 0o640, "its group can read it"),
        ("token", 0o620, "its group can write it"),
        ("token", 0o666, "every user of this host can read and write it"),
        ("key", 0o644, "every user of this host can read it"),
        ("store", 0o644, "every user of this host can read it"),
        ("store-wal", 0o640, "its group can read it"),
    ],
)
def test_a_secret_or_the_store_that_others_can_access(
    files: Files, name: str, mode: int, fault: str
) -> None:
    (files.folder / name).chmod(mode)
    assert files.warnings() == [f"{name}: {fault}; change that with `chmod 600 {name}`"]
    assert files.warnings(read_only=True) == []


@pytest.mark.parametrize(
    ("name", "mode", "fault"),
    [
        ("certificate", 0o644, ""),
        ("watcher.yaml", 0o644, ""),
        ("certificate", 0o664, "its group can write it"),
        ("watcher.yaml", 0o646, "every user of this host can write it"),
        ("watcher.yaml", 0o660, "its group can write it"),
    ],
)
def test_what_holds_no_secret_may_be_read(files: Files, name: str, mode: int, fault: str) -> None:
    (files.folder / name).chmod(mode)
    expected = [f"{name}: {fault}; change that with `chmod 644 {name}`"] if fault else []
    assert files.warnings() == expected


@pytest.mark.parametrize(
    ("channel", "secret"),
    [
        ("{name: a, type: slack, url: 'https://hooks.slack.com/services/T0/B0/made-up'}", True),
        (f"{{name: a, type: webhook, url: 'https://x.example/hook', secrets: [{SECRET}]}}", True),
        ("{name: a, type: webhook, url: 'https://x.example/hook', secrets_file: FILE}", False),
    ],
)
def test_a_configuration_that_holds_a_secret(files: Files, channel: str, secret: bool) -> None:
    signing = files.folder / "signing"
    signing.write_text(SECRET)
    signing.chmod(0o600)
    files.write(channel.replace("FILE", str(signing)), mode=0o644)
    assert bool(files.warnings()) is secret


def test_a_volume_of_kubernetes_has_modes_for_other_users(files: Files) -> None:
    versions = files.folder / "..2026_11_26_19_02_11.123456789"
    versions.mkdir()
    (files.folder / "token").rename(versions / "token")
    (versions / "token").chmod(0o644)
    (files.folder / "..data").symlink_to(versions.name)
    (files.folder / "token").symlink_to("..data/token")
    assert files.warnings() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_root_may_be_read_by_the_group_of_the_watcher(files: Files) -> None:
    token = files.folder / "token"
    os.chown(token, 0, 65532)
    token.chmod(0o640)
    assert files.warnings() == []
    token.chmod(0o660)
    assert "its group can read and write it" in files.warnings()[0]


def test_a_folder_in_which_every_user_can_replace_files(files: Files) -> None:
    files.folder.chmod(0o777)
    (line,) = files.warnings()
    assert f"{files.folder}: every user of this host can replace the files in it" in line
    files.folder.chmod(0o1777)
    assert files.warnings() == []
