"""A secret that is empty, or that no header or URL can carry, is an error wherever it is from."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.records import SECRET
from watcher.channels.slack import Settings as SlackSettings
from watcher.configuration import loader
from watcher.core.errors import ConfigurationError
from watcher.core.settings import Settings

KEY = {"MIXPEEK_API_KEY": "sk_hidden_0123"}
URL = "https://hooks.slack.com/services/T0/B0/hidden"
TOKENS = ("WATCHER_API_TOKEN", "WATCHER_SERVER__API_TOKEN", "MIXPEEK_API_KEY")
URLS = ("WATCHER_WEBHOOK_URL", "WATCHER_SLACK_URL", "WATCHER_HEARTBEAT__URL")
PROXY = "WATCHER_HEARTBEAT__PROXY"
SIGNING = "WATCHER_WEBHOOK_SECRETS"
VALID = {
    **dict.fromkeys(TOKENS, "hidden-api-token-0"),
    **dict.fromkeys(URLS, URL),
    PROXY: "http://me:hidden@proxy.example:3128",
    SIGNING: SECRET,
}
BESIDE = {
    "WATCHER_WEBHOOK_URL": {SIGNING: SECRET},
    SIGNING: {"WATCHER_WEBHOOK_URL": URL},
    PROXY: {"WATCHER_HEARTBEAT__URL": URL},
}
"""What a variable has no effect without."""


def load(folder: Path, environ: Mapping[str, str], text: str | None = None) -> Settings:
    file = None if text is None else folder / "watcher.yaml"
    if file is not None:
        file.write_text(text or "")
    return loader.load(file, {"HOME": str(folder), **KEY, **environ})


def problem(folder: Path, environ: Mapping[str, str], text: str | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(folder, environ, text)
    (line,) = caught.value.problems
    assert "hidden" not in line
    assert SECRET not in line
    return line


@pytest.mark.parametrize("value", ["", " ", "\n", "\r\n\t"])
@pytest.mark.parametrize("name", VALID)
def test_an_empty_variable_is_not_an_unset_one(tmp_path: Path, name: str, value: str) -> None:
    line = problem(tmp_path, {**BESIDE.get(name, {}), name: value})
    assert line.startswith(f"{name}: ")
    assert line.endswith(": must not be empty")


@pytest.mark.parametrize("name", VALID)
def test_blanks_around_a_variable_are_not_part_of_it(tmp_path: Path, name: str) -> None:
    beside = BESIDE.get(name, {})
    bare = load(tmp_path, {**beside, name: VALID[name]})
    for value in (f"{VALID[name]}\n", f"{VALID[name]}\r\n", f" {VALID[name]}\t"):
        assert load(tmp_path, {**beside, name: value}) == bare


CHARACTERS = [
    ("\ufeff", "a byte-order mark"),
    ("\xa0", "a no-break space"),
    ("“", "a curly quote"),
    ("’", "a curly quote"),
    ("\n", "a line break"),
    (" ", "a space"),
    ("\t", "a tab"),
    ("\u200b", "the invisible character U+200B"),
    ("\x00", "the invisible character U+0000"),
    ("\x7f", "the invisible character U+007F"),
]
BLANKS = (" ", "\t", "\n")


@pytest.mark.parametrize(
    ("name", "char", "named"),
    [
        (name, char, named)
        for name in VALID
        for char, named in CHARACTERS
        if name != SIGNING or char not in BLANKS  # which separate secrets
    ],
)
def test_a_character_that_cannot_be_sent_is_named(
    tmp_path: Path, name: str, char: str, named: str
) -> None:
    value = f"{VALID[name][:9]}{char}{VALID[name][9:]}"
    line = problem(tmp_path, {**BESIDE.get(name, {}), name: value})
    assert line.startswith(f"{name}: ")
    assert f"contains {named} (character 10)" in line
    if char not in BLANKS:
        assert f"contains {named}" in problem(
            tmp_path, {**BESIDE.get(name, {}), name: f"{VALID[name]}{char}"}
        )


def test_a_variable_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    for name in VALID:
        line = problem(tmp_path, {**BESIDE.get(name, {}), name: f"{VALID[name]}\udcff"})
        assert line == f"{name}: not valid UTF-8"
    channels = '[{"name": "\\ud800", "type": "slack", "url": "https://x.example/"}]'
    assert "invalid JSON" in problem(tmp_path, {"WATCHER_CHANNELS": channels})


WEBHOOK = "type: webhook, name: a"
FILES = {
    "server": "server: {api_token_file: FILE}",
    "source": "sources: [{api_key_file: FILE}]",
    "bot": "channels: [{type: slack, name: a, slack_channel: C1, bot_token_file: FILE}]",
    "slack": "channels: [{type: slack, name: a, url_file: FILE}]",
    "webhook": f"channels: [{{{WEBHOOK}, url_file: FILE, secrets: [{SECRET}]}}]",
    "signing": f"channels: [{{{WEBHOOK}, url: 'https://x.example/', secrets_file: FILE}}]",
    "header": f"channels: [{{{WEBHOOK}, url: 'https://x.example/', secrets: [{SECRET}],"
    " headers: {X-Key: {file: FILE}}}]",
    "apprise": "channels: [{type: apprise, name: a, url_file: FILE}]",
    "heartbeat": "heartbeat: {url_file: FILE}",
    "proxy": "heartbeat: {url: 'https://x.example/', proxy_file: FILE}",
}


@pytest.mark.parametrize("content", ["", " \n", "\xa0\n", "\ufeff", "\ufeffhidden\n", "hid“den"])
@pytest.mark.parametrize("kind", FILES)
def test_a_file_of_a_secret_is_named(tmp_path: Path, kind: str, content: str) -> None:
    (tmp_path / "secret").write_text(content)
    line = problem(tmp_path, {}, FILES[kind].replace("FILE", f"{tmp_path}/secret"))
    assert line.startswith("watcher.yaml:1: ")
    assert f"{tmp_path}/secret" in line


@pytest.mark.parametrize("kind", FILES)
def test_a_secret_in_the_place_of_its_file_is_not_shown(tmp_path: Path, kind: str) -> None:
    for secret in ("hidden_0123456789", "https://hooks.slack.com/services/hidden", "./hidden"):
        assert "cannot read the file" in problem(tmp_path, {}, FILES[kind].replace("FILE", secret))


@pytest.mark.parametrize(
    "text",
    [
        "server: {api_token:hidden-api-token-0}",
        "server: {api_token hidden-api-token-0, port: 1}",
        "server: {api_token: !hidden-api-token-0}",
        "server: {api_token: *hidden-api-token-0}",
        "server: {api_token: !hidden!token-0 x}",
        'server: {api_token: "hidden}',
        "server:\n  api_token: @hidden",
        "heartbeat: {url: 'https://me:hidden@[x.example/'}",
        "heartbeat: {url: 'https://hidden:x@'}",
        "heartbeat: {url: 'https://hidden:hidden/'}",
        "heartbeat: {url: 'https://me:hidden\u2100@x.example/'}",
        "heartbeat: {url: 'https://x.example/', proxy: 'http://me:hidden'}",
        "heartbeat: {url: 'https://x.example/', proxy: 'http://me:hidden/x@proxy'}",
        "server: {host: 1.2.3.4, api_token: hidden, cors_origins: ['https://me:hidden@[x']}",
        "channels: [{name: a, type: hidden_0123, url: hidden_0123}]",
        "channels: [{name: a, type: 'Bearer hidden_0', headers: {Authorization: Bearer hidden_0}}]",
        "sources: [{name: hidden_0, api_key: hidden_0, statuses: {A: hidden_0}}]",
    ],
)
def test_no_error_shows_a_secret_that_is_misspelt(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, {}, text)
    assert "hidden" not in " ".join(caught.value.problems)


@pytest.mark.parametrize(
    "name",
    [
        *("HEARTBEAT__EVERY", "POLLING__MAX_INTERVAL", "STORE__MAX_SIZE", "SERVER__PORT"),
        *("SERVER__HOST", "LOG__LEVEL", "POLLING__MODE", "STORE__URL", "SERVER__CORS_ORIGINS"),
    ],
)
@pytest.mark.parametrize(
    "value", ["sk_hidden_0123_abc", '[{"api_key": "hidden-key-01", "x": "it\'s"}]']
)
def test_no_error_shows_a_secret_in_the_place_of_another_value(
    tmp_path: Path, name: str, value: str
) -> None:
    environ = {"WATCHER_HEARTBEAT__URL": "https://x.example", f"WATCHER_{name}": value}
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, environ)
    assert "hidden" not in " ".join(caught.value.problems)


@pytest.mark.parametrize(
    ("url", "valid"),
    [
        ("https://exämple.com/ü", True),
        ("https://[::1]:8443/x", True),
        ("https://a_b.example./", True),
        ("https://a..b/", False),
        ("https://€.example/", False),
        ("https://[::g]/", False),
        ("https://x.example:99999/", False),
        ("https://x.example:0/", False),
        (f"https://{'a' * 64}.example/", False),
        (f"https://x.example/{'a' * 8192}", False),
    ],
)
def test_a_url_that_no_client_can_use_is_an_error(tmp_path: Path, url: str, valid: bool) -> None:
    if valid:
        (channel,) = load(tmp_path, {"WATCHER_SLACK_URL": url}).channels
        assert isinstance(channel, SlackSettings)
    else:
        assert problem(tmp_path, {"WATCHER_SLACK_URL": url}).startswith("WATCHER_SLACK_URL: ")


def test_an_emoji_as_json_writes_it_is_one_character(tmp_path: Path) -> None:
    rule = {"list": "tasks", "labels": {"mood": "🎉"}}
    loaded = load(tmp_path, {}, json.dumps({"discovery": [rule]}))
    assert loaded.discovery[0].labels == {"mood": "🎉"}
    half = problem(tmp_path, {}, '{"discovery": [{"list": "tasks", "labels": {"a": "\\ud83d"}}]}')
    assert half == "watcher.yaml:1: contains half a surrogate pair"


@pytest.mark.parametrize(
    ("host", "valid"),
    [
        *((host, True) for host in ("::", "0.0.0.0", "localhost", "watcher-0.svc", "fe80::1%eth0")),
        *((host, False) for host in ("", "a..b", "a b", "http://x", "[::1]", "x:80", "a" * 64)),
    ],
)
def test_the_host_of_a_listener_is_one(tmp_path: Path, host: str, valid: bool) -> None:
    environ = {"WATCHER_TELEMETRY__HOST": host}
    if valid:
        assert load(tmp_path, environ).telemetry is not None
    else:
        expected = "WATCHER_TELEMETRY__HOST: telemetry.host: expected the name or address of a host"
        assert problem(tmp_path, environ).startswith(expected)


@pytest.mark.parametrize(
    "environ",
    [
        {"MIXPEEK_API_KEY": "x" * 8193},
        {"WATCHER_API_TOKEN": "x" * 8193},
        {
            "WATCHER_CHANNELS": json.dumps(
                [
                    {
                        "name": "a",
                        "type": "webhook",
                        "url": "https://x.example",
                        "secrets": [SECRET],
                    }
                    | {"headers": {"x": "x" * 8193}}
                ]
            )
        },
    ],
    ids=["key", "token", "header"],
)
def test_a_secret_that_no_server_accepts_is_an_error(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    assert "is longer than 8192 characters" in problem(tmp_path, environ)
