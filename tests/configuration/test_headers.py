"""Headers of webhooks that are read from files, and secrets that no header can carry."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.records import SECRET
from watcher.channels.webhook import Settings as WebhookSettings
from watcher.configuration import loader, secrets
from watcher.core.errors import ConfigurationError
from watcher.core.masked_settings import masked
from watcher.core.settings import Settings

ENVIRON = {"MIXPEEK_API_KEY": "sk_x"}
WEBHOOK = (
    f"channels:\n- name: a\n  type: webhook\n  url: https://x.example/\n  secrets: [{SECRET}]\n"
)


def load(folder: Path, text: str, environ: Mapping[str, str] = ENVIRON) -> Settings:
    file = folder / "watcher.yaml"
    file.write_text(text)
    return loader.load(file, {**environ, "HOME": str(folder)})


def problem(folder: Path, text: str, environ: Mapping[str, str] = ENVIRON) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(folder, text, environ)
    (line,) = caught.value.problems
    assert "hidden" not in line
    return line.replace(f"{folder}/", "")


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_header_from_a_file(tmp_path: Path, ending: str) -> None:
    file = tmp_path / "token"
    file.write_bytes(b"Bearer hidden_1" + ending.encode())
    headers = f"{{Authorization: {{file: {file}}}, x-plain: hidden_2}}"
    loaded = load(tmp_path, f"{WEBHOOK}  headers: {headers}\n")

    (channel,) = loaded.channels
    assert isinstance(channel, WebhookSettings)
    values = {name: value.get_secret_value() for name, value in channel.headers.items()}
    assert values == {"Authorization": "Bearer hidden_1", "x-plain": "hidden_2"}
    assert loaded.files == {file}
    assert "hidden" not in json.dumps(masked(loaded)) + repr(loaded)
    assert {"Bearer hidden_1", "hidden_2"} <= {*secrets.secret_values(loaded)}


def unsendable(name: str, position: int) -> str:
    return f"contains {name} (character {position}), which no header can carry"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "file is empty"),
        (b" \n", "file is empty"),
        (b"\xef\xbb\xbfBearer hidden", f"file {unsendable('a byte-order mark', 1)}"),
        ("“hidden”".encode(), f"file {unsendable('a curly quote', 1)}"),
        ("hidden\xa0".encode(), f"file {unsendable('a no-break space', 7)}"),
        (b"hidden\nsecond line", f"file {unsendable('a line break', 7)}"),
        (b"hidden\0", f"file {unsendable('the invisible character U+0000', 7)}"),
        (b"\xffhidden", "cannot read file: not valid UTF-8"),
        (None, "cannot read file: No such file or directory"),
    ],
)
def test_a_file_that_no_header_can_carry_is_named(
    tmp_path: Path, content: bytes | None, fault: str
) -> None:
    if content is not None:
        (tmp_path / "file").write_bytes(content)
    line = problem(tmp_path, f"{WEBHOOK}  headers:\n    X-Key: {{file: {tmp_path}/file}}\n")
    assert line == f"watcher.yaml:7: channels[0].headers.X-Key.file: {fault}"


@pytest.mark.parametrize(
    ("headers", "fault"),
    [
        (
            "{Authorization_file: /x}",
            "headers.Authorization_file: unknown key; write Authorization: {file: PATH}",
        ),
        ("{X-KEY_FILE: /x}", "headers.X-KEY_FILE: unknown key; write X-KEY: {file: PATH}"),
        ("{X-Key: {path: /x}}", "headers.X-Key: expected text, or {file: PATH}"),
        ("{X-Key: {file: /x, more: 1}}", "headers.X-Key: expected text, or {file: PATH}"),
        ("{X-Key: {file: 7}}", "headers.X-Key: expected text, or {file: PATH}"),
        ("{X-Key: {}}", "headers.X-Key: expected text, or {file: PATH}"),
        ("{X-Key: ''}", "headers.X-Key: must not be empty"),
        ("{X-Key: a, x-key: b}", "headers: the same header twice: names differ in case only"),
        ("{Authorization: 'Bearer '}", "headers: the value of 'Authorization' must not be empty"),
        ("{X-Key: ' '}", "headers.X-Key: must not be empty"),
        ("{Host: a}", "headers: 'Host' is reserved: the watcher sets it"),
    ],
)
def test_a_header_that_is_not_accepted(tmp_path: Path, headers: str, fault: str) -> None:
    line = problem(tmp_path, f"{WEBHOOK}  headers: {headers}\n")
    assert line == f"watcher.yaml:6: channels[0].{fault}"


def test_a_file_of_all_headers_is_not_offered(tmp_path: Path) -> None:
    line = problem(tmp_path, f"{WEBHOOK}  headers_file: /x\n")
    assert "channels[0].headers_file: unknown key" in line


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("server: {api_token_file: %s}", "server.api_token_file"),
        ("sources: [{api_key_file: %s}]", "sources[0].api_key_file"),
        (
            "channels: [{name: a, type: slack, slack_channel: C1, bot_token_file: %s}]",
            "channels[0].bot_token_file",
        ),
    ],
)
@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("\ufeffhidden", unsendable("a byte-order mark", 1)),
        ("“hidden”", unsendable("a curly quote", 1)),
        ("hidden hidden", unsendable("a space", 7)),
        ("hid\nden", unsendable("a line break", 4)),
        ("hidden\xa0\n", unsendable("a no-break space", 7)),
    ],
)
def test_a_token_that_no_header_can_carry_names_its_file(
    tmp_path: Path, text: str, place: str, content: str, fault: str
) -> None:
    (tmp_path / "file").write_text(content)
    line = problem(tmp_path, text % (tmp_path / "file"))
    assert line == f"watcher.yaml:1: {place}: file: {fault}"


def test_a_file_that_cannot_be_read_is_one_problem(tmp_path: Path) -> None:
    text = f"channels: [{{name: a, type: webhook, url_file: /missing, secrets: [{SECRET}]}}]"
    line = problem(tmp_path, text)
    assert "channels[0].url_file: cannot read /missing" in line
