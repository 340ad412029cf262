"""Variables: what they set, what they cannot, and that errors name them; placeholders in files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.records import SECRET
from watcher.configuration import loader
from watcher.core.errors import ConfigurationError
from watcher.core.settings import Settings

KEY = {"MIXPEEK_API_KEY": "sk_hidden_0123"}
SLACK = "https://hooks.slack.com/services/T0/B0/hidden"
CHANNELS = f"channels: [{{name: ops, type: slack, url: '{SLACK}'}}]"


def load(folder: Path, text: str | None, environ: Mapping[str, str]) -> Settings:
    file = None if text is None else folder / "watcher.yaml"
    if file is not None:
        file.write_text(text or "")
    return loader.load(file, {"HOME": str(folder), **KEY, **environ})


def problems(folder: Path, text: str | None, environ: Mapping[str, str]) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(folder, text, environ)
    assert "hidden" not in str(caught.value)
    return caught.value.problems


@pytest.mark.parametrize(
    ("name", "value", "place", "expected"),
    [
        ("WATCHER_SERVER__PORT", "9090\n", "server.port", 9090),
        ("WATCHER_SERVER__CORS_ORIGINS", "https://a.x, https://b.x", "", 2),
        ("WATCHER_SERVER__CORS_ORIGINS", '["https://a.x", "https://b.x"]', "", 2),
        ("WATCHER_POLLING__STALLED_AFTER", '{"*": "1h"}', "polling.stalled_after", {"*": 3600.0}),
        ("WATCHER_TELEMETRY__HOSTS", "a.x", "telemetry.hosts", ("a.x",)),
        ("WATCHER_DISCOVERY", ' [{"list": "tasks"}]\n', "discovery.0.list", "tasks"),
    ],
)
def test_a_variable_sets_any_key(
    tmp_path: Path, name: str, value: str, place: str, expected: Any
) -> None:
    environ = {name: value, "WATCHER_API_TOKEN": "hidden-api-token-0"}
    found: Any = load(tmp_path, "server: {port: 1}", environ)
    if not place:
        assert len(found.server.cors_origins) == expected
        return
    for key in place.split("."):
        found = found[int(key)] if key.isdigit() else getattr(found, key)
    assert found == expected


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        (
            {"WATCHER_CHANNELS__0__URL": SLACK},
            "WATCHER_CHANNELS__0__URL: a variable sets no key within a list; give the whole list "
            "as JSON in WATCHER_CHANNELS, or the key in the file (x_file for a secret)",
        ),
        ({"WATCHER_CHANNELS__OPS__URL": SLACK}, "WATCHER_CHANNELS__OPS__URL: a variable sets no"),
        ({"WATCHER_SOURCES__MIXPEEK__NAMESPACE": "a"}, "WATCHER_SOURCES__MIXPEEK__NAMESPACE: a"),
        ({"WATCHER_ROUTES__0__LABELS__TEAM": "a"}, "WATCHER_ROUTES__0__LABELS__TEAM: a variable"),
        (
            {"WATCHER_POLLING__STALLED_AFTER__API": "1h"},
            "WATCHER_POLLING__STALLED_AFTER__API: a variable sets no key within "
            "polling.stalled_after; give all of it as JSON in WATCHER_POLLING__STALLED_AFTER",
        ),
        ({"WATCHER_TELEMETRY__HOSTS__0": "a"}, "WATCHER_TELEMETRY__HOSTS__0: a variable sets no"),
        ({"WATCHER_SERVER__PORT__X": "1"}, "WATCHER_SERVER__PORT__X: server.port has no keys"),
        ({"WATCHER_SERVER__PRT__X": "1"}, "WATCHER_SERVER__PRT__X: server.prt: unknown key"),
        (
            {"WATCHER_SERVER__TLS__CERTIFICATE_FILE": "/x"},
            "WATCHER_SERVER__TLS__CERTIFICATE_FILE: server.tls.key_file: field required",
        ),
        ({"WATCHER_SERVER__TLS": "{"}, "WATCHER_SERVER__TLS: invalid JSON; server.tls is given"),
        ({"WATCHER_CHANNELS": ""}, "WATCHER_CHANNELS: invalid JSON; a whole list is given as"),
        ({"WATCHER_CHANNELS": "[" * 9999}, "WATCHER_CHANNELS: invalid JSON"),
        ({"WATCHER_CHANNELS": f"{'[' * 99}{']' * 99}"}, "WATCHER_CHANNELS: invalid JSON"),
        ({"WATCHER_CHANNELS": "{}"}, "WATCHER_CHANNELS: channels: expected a list"),
        ({"WATCHER_ROUTES": '[{"initial": true, "initial": 1}]'}, "WATCHER_ROUTES: invalid JSON"),
        (
            {"WATCHER_CHANNELS": '[{"name": "a", "type": "slack", "url": "hidden"}]'},
            "WATCHER_CHANNELS: channels[0].url: invalid URL",
        ),
        ({"WATCHER_ROUTES": '[{"channels": ["x"]}]'}, "WATCHER_ROUTES: routes[0].channels: unkn"),
        ({"WATCHER_SERVER__PORT": ""}, "WATCHER_SERVER__PORT: server.port: input should be a val"),
        ({"WATCHER_SERVER__HOST": "0.0.0.0"}, "WATCHER_SERVER__HOST: server.host: reachable"),
        ({"WATCHER_POLLING__MIN_INTERVAL": "60s"}, "WATCHER_POLLING__MIN_INTERVAL: polling.min_"),
        ({"WATCHER_STORE__URL": "x://"}, "WATCHER_STORE__URL: store.url: unknown store type 'x'"),
        (
            {"WATCHER_SERVER__CORS_ORIGINS": "https://x.example"},
            "WATCHER_SERVER__CORS_ORIGINS: server: cors_origins need an api_token",
        ),
        (
            {"MIXPEEK_BASE_URL": "http://upstream.example"},
            "MIXPEEK_BASE_URL: sources[0]: base_url begins with http://, which is not encrypted",
        ),
        ({"WATCHER_SLACK_URL": "x"}, "WATCHER_SLACK_URL: channels[0].url: invalid URL"),
        (
            {"WATCHER_WEBHOOK_URL": "http://x.example", "WATCHER_WEBHOOK_SECRETS": SECRET},
            "WATCHER_WEBHOOK_URL: channels[0]: url begins with http://, which is not encrypted",
        ),
        (
            {"WATCHER_WEBHOOK_URL": "https://x.example", "WATCHER_WEBHOOK_SECRETS": "hidden"},
            "WATCHER_WEBHOOK_SECRETS: channels[0].secrets[0]: is not base64 after whsec_",
        ),
    ],
)
def test_an_error_names_its_variable(tmp_path: Path, environ: dict[str, str], said: str) -> None:
    assert [line[: len(said)] for line in problems(tmp_path, None, environ)] == [said]


def test_variables_that_exclude_each_other_are_named(tmp_path: Path) -> None:
    environ = {"WATCHER_SERVER__TLS": "x", "WATCHER_SERVER__TLS__KEY_FILE": "/x"}
    conflict, _ = problems(tmp_path, None, environ)
    assert conflict == "WATCHER_SERVER__TLS__KEY_FILE: server.tls is set by another variable"


def test_a_section_of_the_file_that_is_no_mapping_is_an_error_beside_a_variable(
    tmp_path: Path,
) -> None:
    for text in ("server: []", "server: 5", "server: text"):
        assert problems(tmp_path, text, {"WATCHER_SERVER__PORT": "1"}) == [
            "watcher.yaml:1: server: expected a mapping of keys to values"
        ]
    assert load(tmp_path, "server:", {"WATCHER_SERVER__PORT": "1"}).server.port == 1


@pytest.mark.parametrize("name", ["WATCHER_WEBHOOK_URL", "WATCHER_SLACK_URL"])
def test_a_variable_for_a_channel_beside_channels_is_an_error_that_names_both(
    tmp_path: Path, name: str
) -> None:
    environ = {name: SLACK, "WATCHER_WEBHOOK_SECRETS": SECRET}
    for text in (CHANNELS, "channels: []"):
        (line,) = problems(tmp_path, text, environ)
        assert line.startswith("watcher.yaml:1: channels: cannot be combined with ")
        assert name in line
    variable = {"WATCHER_CHANNELS": '[{"name": "ops", "type": "slack", "url": "https://x.x/"}]'}
    (line,) = problems(tmp_path, None, {**environ, **variable})
    assert line.startswith("WATCHER_CHANNELS: channels: cannot be combined with ")
    assert load(tmp_path, "channels:", {"WATCHER_SLACK_URL": SLACK}).channels


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "server: {api_token: '${TOKEN}'}",
            "server.api_token: ${…} is not replaced by anything; write api_token_file: PATH, or "
            "set the variable WATCHER_SERVER__API_TOKEN instead",
        ),
        (
            "server: {api_token: '${TOKEN:-hidden-default}'}",
            "server.api_token: ${…} is not replaced",
        ),
        (
            "sources: [{api_key: $MIXPEEK_API_KEY}]",
            "sources[0].api_key: $… is not replaced by anything; write api_key_file: PATH, or set "
            "the variable MIXPEEK_API_KEY instead",
        ),
        (
            "sources: [{api_key_file: '${DIR}/key'}]",
            "sources[0].api_key_file: ${…} is not replaced by anything; write the value itself, or",
        ),
        (
            "sources: [{base_url: 'https://${HOST}/'}]",
            "sources[0].base_url: ${…} is not replaced by anything; write the value itself, or set "
            "the variable MIXPEEK_BASE_URL instead",
        ),
        (
            "channels: [{name: a, type: slack, url: '{{ .Values.url }}'}]",
            "channels[0].url: {{ … }} is not replaced by anything; write url_file: PATH",
        ),
        (
            f"channels: [{{name: a, type: webhook, url: 'https://x.x', secrets: [{SECRET}],"
            " headers: {Authorization: 'Bearer $TOKEN'}}]",
            "channels[0].headers.Authorization: $… is not replaced by anything; write "
            "Authorization: {file: PATH}",
        ),
        (
            "channels: [{name: a, type: webhook, url: 'https://x.x', secrets: ['%(secret)s']}]",
            "channels[0].secrets[0]: %(…)s is not replaced by anything; write secrets_file: PATH",
        ),
        (
            "server: {host: $(POD_IP)}",
            "server.host: $(…) is not replaced by anything; write the value itself, or set the "
            "variable WATCHER_SERVER__HOST instead",
        ),
        (
            "polling: {stalled_after: {'${TYPE}': 1h}}",
            "polling.stalled_after.${TYPE}: ${…} is not replaced by anything; write the value "
            "itself, or all of it as JSON in the variable WATCHER_POLLING__STALLED_AFTER",
        ),
        (
            "discovery: [{list: tasks, labels: {team: '<%= team %>'}}]",
            "discovery[0].labels.team: <%= … %> is not replaced by anything; write the value "
            "itself, or all of it as JSON in the variable WATCHER_DISCOVERY",
        ),
        ("store: {url: 'sqlite:///${HOME}/x.db'}", "store.url: ${…} is not replaced by anything"),
        ("log: {level: '${LEVEL}'}", "log.level: ${…} is not replaced by anything"),
    ],
)
def test_a_placeholder_in_the_file_is_an_error_that_says_what_to_write(
    tmp_path: Path, text: str, said: str
) -> None:
    (line,) = problems(tmp_path, text, {})
    assert line[: len(said) + 16] == f"watcher.yaml:1: {said}"


def test_a_placeholder_as_a_variable_is_an_error_and_part_of_one_is_not(tmp_path: Path) -> None:
    for name in ("WATCHER_API_TOKEN", "MIXPEEK_API_KEY", "WATCHER_SLACK_URL", "WATCHER_ROUTES"):
        for value in ("${NAME}", "$(NAME)", "{{ name }}", "$NAME\n"):
            (line,) = problems(tmp_path, None, {name: value})
            assert line.startswith(f"{name}: nothing has replaced the placeholder ")
    loaded = load(tmp_path, None, {"WATCHER_API_TOKEN": "made-up-${token}-0"})
    assert loaded.server.api_token is not None
    (tmp_path / "token").write_text("${made_up_token}")
    load(tmp_path, f"server: {{api_token_file: {tmp_path}/token}}", {})


@pytest.mark.parametrize(
    "token",
    [
        "pa$$word-made-up-0",
        "made-up-$TOKEN-0123",
        "$ecret-made-up-0123",
        "a%b%c$(1)-made-up-0",
        "made-up-{token}-{0}",
        "$made_up_token_0123",
    ],
)
def test_a_dollar_sign_may_be_part_of_a_secret(tmp_path: Path, token: str) -> None:
    loaded = load(tmp_path, f"server: {{api_token: '{token}'}}", {})
    assert loaded.server.api_token is not None
    assert loaded.server.api_token.get_secret_value() == token
