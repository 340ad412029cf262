"""The URL of the store: a file may give it, and no password in it is shown."""

import json
import sys
from pathlib import Path

import pytest

from watcher.configuration import loader, plugins
from watcher.core.errors import ConfigurationError
from watcher.core.masked_settings import masked
from watcher.core.masking import SECRETS
from watcher.core.settings import Settings

URL = "postgresql://watcher:hidden-word@db.example/tasks"


def load(text: str, folder: Path, **environ: str) -> Settings:
    file = folder / "watcher.yaml"
    file.write_text(text)
    return loader.load(file, {"HOME": str(folder), "MIXPEEK_API_KEY": "sk_made_up", **environ})


def test_a_file_or_a_variable_gives_the_url(tmp_path: Path) -> None:
    (tmp_path / "url").write_text(f"{URL}\n")
    text = f"store: {{url_file: {tmp_path}/url}}"
    settings = load(text, tmp_path)
    assert settings.store.url == URL
    assert tmp_path / "url" in settings.files
    other = f"{URL}_2"
    assert load(text, tmp_path, WATCHER_STORE__URL=other).store.url == other
    by_file = load("{}", tmp_path, WATCHER_STORE__URL_FILE=f"{tmp_path}/url")
    assert by_file.store.url == URL
    with pytest.raises(ConfigurationError, match="give either url or url_file, not both"):
        load(f"store: {{url: 'sqlite:////x', url_file: {tmp_path}/url}}", tmp_path)


@pytest.mark.parametrize("ending", ["", "?password=second-hidden&application_name=x"])
def test_a_password_is_shown_nowhere_and_the_rest_is(tmp_path: Path, ending: str) -> None:
    settings = load(f"store: {{url: '{URL}{ending}'}}", tmp_path)
    shown = json.dumps(masked(settings)) + SECRETS.text(f"cannot use {settings.store.url}")
    assert "hidden" not in shown
    assert shown.count("db.example/tasks") == 2
    load("store: {url: 'sqlite:////var/lib/watcher/watcher.db'}", tmp_path)
    assert SECRETS.text("/var/lib/watcher/watcher.db") == "/var/lib/watcher/watcher.db"


def test_errors_about_the_store_show_its_url_without_the_password(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(f"store: {{url: '{URL}', max_size: 1GiB, retention: hidden-word}}", tmp_path)
    assert "hidden-word" not in str(caught.value)
    with pytest.raises(ConfigurationError, match=r"store\.max_size: only a SQLite store"):
        load(f"store: {{url: '{URL}', max_size: 1GiB}}", tmp_path)
    with pytest.raises(ConfigurationError, match=r"the port of 'db:99999' is not a number from 0"):
        load("store: {url: 'postgresql://me:hidden@db:99999/tasks'}", tmp_path)
    with pytest.raises(ConfigurationError, match=r"invalid store\.url 'sqlite:///'"):
        load("store: {url: 'sqlite:///'}", tmp_path)


def test_the_scheme_that_hosting_providers_write_is_another_name_of_postgresql(
    tmp_path: Path,
) -> None:
    url = URL.replace("postgresql", "postgres")
    assert load(f"store: {{url: '{url}'}}", tmp_path).store.url == url
    assert plugins.load_store(url).shown(url) == "postgresql://db.example/tasks"


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("watcher.stores.postgresql")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(ConfigurationError) as caught:
        plugins.load("stores", "postgresql")
    assert caught.value.problems == [
        "type 'postgresql' needs asyncpg: install mixpeek-watcher[postgresql]"
    ]
