"""Valid configurations, and random mutations of them: of bytes, of structure, of encodings."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import yaml

CANARY = "canary7f3a9c2e"
"""Part of every secret. No output may contain it."""
_SIGNING = "whsec_Y2FuYXJ5N2YzYTljMmVjYW5hcnk3ZjNhOWMyZQ=="
SECRETS = (CANARY, _SIGNING.removeprefix("whsec_"))

ENVIRON = {"MIXPEEK_API_KEY": f"sk_{CANARY}"}

_WEBHOOK = {
    "name": "backend",
    "type": "webhook",
    "url": f"https://backend.example/{CANARY}",
    "secrets": [_SIGNING],
    "headers": {"Authorization": f"Bearer {CANARY}", "X-Team": {"file": "FOLDER/secret"}},
    "attempts": ["0s", "5s", "1m"],
    "max_body": "256KiB",
    "omit": ["inputs"],
}
_SLACK = {
    "name": "alerts",
    "type": "slack",
    "url_file": "FOLDER/url",
    "mention": "<!here>",
    "links": {"Open task": "https://console.example/tasks/{task_id}"},
    "proxy": f"http://me:{CANARY}@proxy.example:3128",
}
_BOT = {
    "name": "bot",
    "type": "slack",
    "bot_token": f"xoxb-{CANARY}",
    "slack_channel": "C1",
    "digest_above": None,
}
VALID: tuple[dict[str, Any], ...] = (
    {
        "sources": [
            {"name": "mixpeek", "api_key": f"sk_{CANARY}", "requests_per_minute": None},
            {"name": "other", "api_key_file": "FOLDER/secret", "statuses": {"GONE": "FAILED"}},
        ],
        "polling": {"min_interval": "1s", "stalled_after": {"*": "24h", "api_*": None}},
        "discovery": [
            {"list": "tasks", "labels": {"team": "search"}, "filters": {"status": "FAILED"}},
            {"source": "other", "list": "batches", "bucket": "bkt_1", "every": "5m"},
        ],
        "store": {"url": "sqlite:///FOLDER/watcher.db", "retention": "7d", "max_size": "2GiB"},
        "channels": [_WEBHOOK, _SLACK],
        "routes": [
            {"channels": ["alerts"], "events": ["task.*"], "labels": {"team": "search"}},
            {"channels": ["backend"], "statuses": ["FAILED"], "initial": True},
        ],
        "server": {
            "host": "127.0.0.1",
            "port": 8080,
            "api_token": f"{CANARY}-token",
            "cors_origins": ["https://console.example"],
            "external_url": "https://ops.example/watcher/",
        },
        "telemetry": {"host": "::", "port": 9464, "hosts": ["watcher.example"]},
        "heartbeat": {"url": f"https://beat.example/{CANARY}", "every": 60},
        "log": {"level": "debug", "format": "json"},
    },
    {"channels": [_BOT], "server": {"api_token_file": "FOLDER/secret", "host": "0.0.0.0"}},
)

_FRAGMENTS = (
    *(b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\xc2\xa0", b"\xe2\x80\xa8", b"\xed\xa0\x80", b"\x85"),
    *(b"\t", b"\n", b"\r", b" ", b"  ", b": ", b":", b"- ", b"? ", b", ", b"#", b" #"),
    *(b"{", b"}", b"[", b"]", b"'", b'"', b"|", b">", b"%", b"@", b"`", b"=", b"~", b"\\"),
    *(b"&a ", b"*a", b"<<: *a\n", b"!!set ", b"!!int ", b"!!binary ", b"!!python/none ", b"!x "),
    *(b"---\n", b"...\n", b"%YAML 1.1\n---\n", b"null", b"yes", b"2026-02-30", b"1:99:99"),
    *(b"${X}", b"$X", b"{{ x }}", b"%(x)s", b"_file", b"9" * 400, b"9" * 5000, b"0x", b"1e999"),
)
_TEXTS = (
    *("", " ", "\n", "\0", "\x1b[31m", "\u202e", "\ufeff", "\u00a0", "\U0001f389", "e\u0301", "ß"),
    *("null", "true", "-1", "0", "1e400", "nan", ".inf", "9" * 5000, "x" * 9_000, "%s%n", "'"),
    *("${X}", "$(X)", "{{x}}", "<%= x %>", "/dev/null", "/", "FOLDER", "FOLDER/missing", "../.."),
    *("http://", "https://[::1", "https://a..b/", "https://me:x@h/", "ftp://h/", "unix:///x"),
    *("https://h:99999/", "https://\u2100/", "sqlite:////", "postgresql://me:x@h/db", "1s", "1w"),
    *("0s", "99999999999d", "1KiB", "1PiB", "whsec_", "whsk_AAAA", "whpk_AAAA", "slack", "mixpeek"),
    *("{task_id!r}", "{x", "}", "{0}", "{task_id:>999999999}", "task.*", "[", "(?P<", "\\"),
)
_COLLECTIONS = ("[]", "{}", "[[]]", '{"": ""}', '{"file": "FOLDER/secret"}', '{"file": 7}', '["x"]')
_SCALARS = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**64), 10**400, 0.0, -0.0, 1e-300),
    *(1e308, float("inf"), float("nan")),
)


def mutated(random: Random, folder: Path) -> bytes:
    """Return the content of a configuration file that was valid before some mutations."""
    values: Any = json.loads(json.dumps(random.choice(VALID)))
    for _ in range(random.choice((0, 1, 1, 1, 2, 3, 8))):
        values = _restructured(values, random)
    text = _written(values, random).replace("FOLDER", str(folder))
    if random.random() < 0.2:
        text = random.choice(_WRAPPED)(text, random)
    encoding = random.choice(_ENCODINGS) if random.random() < 0.1 else "utf-8"
    content = text.encode(encoding, "replace")
    if random.random() < 0.5:
        for _ in range(random.choice((1, 1, 2, 4, 16))):
            content = _edited(content, random)
    return content


_ENCODINGS = ("utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp037", "utf-7")


def _written(values: Any, random: Random) -> str:
    flow = random.choice((True, False, None))
    try:
        if random.random() < 0.3:
            return json.dumps(values, ensure_ascii=random.random() < 0.5)
        return str(yaml.safe_dump(values, default_flow_style=flow, allow_unicode=True, width=200))
    except (yaml.YAMLError, ValueError, RecursionError):
        return repr(values)[:100_000] if random.random() < 0.5 else ""


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    members = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [path, *(inner for key, member in members for inner in _paths(member, (*path, key)))]


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def _restructured(values: Any, random: Random) -> Any:
    paths = _paths(values)
    if len(paths) < 2 or len(paths) > 1000:
        return values
    path = random.choice(paths[1:])
    parent, key = _at(values, path[:-1]), path[-1]
    kind = random.random()
    if kind < 0.5:
        parent[key] = _value(random)
    elif kind < 0.6:
        del parent[key]
    elif kind < 0.7:
        parent[key] = random.choice(([parent[key]], {"x": parent[key]}, [parent[key]] * 3))
    elif kind < 0.8:
        parent[key] = _copied(_at(values, random.choice(paths[1:])))
    elif isinstance(parent, dict):
        _rename(parent, key, [one[-1] for one in paths[1:] if isinstance(one[-1], str)], random)
    elif isinstance(parent, list):
        parent[:] = parent * random.choice((2, 3, 50))
    return values


def _copied(value: Any) -> Any:
    text = json.dumps(value)
    return None if _holds_secret(text) else json.loads(text)


def _rename(parent: dict[str, Any], key: str, others: list[str], random: Random) -> None:
    name = random.choice((f"{key}_file", f"{key}x", random.choice(others), _text(random), ""))
    if _holds_secret(json.dumps(parent[key])):
        name = f"{key}_file"
    parent[name] = parent.pop(key) if random.random() < 0.5 else parent[key]


def _holds_secret(text: str) -> bool:
    # Where nothing but a secret would look like one, an error cannot know that it is.
    return any(secret in text for secret in SECRETS)


def _text(random: Random) -> str:
    text = random.choice(_TEXTS)
    if random.random() < 0.3:
        text += random.choice(_TEXTS)
    return text


def _value(random: Random) -> Any:
    kind = random.random()
    if kind < 0.4:
        return _text(random)
    if kind < 0.7:
        return random.choice(_SCALARS)
    if kind < 0.8:
        return json.loads(random.choice(_COLLECTIONS))
    if kind < 0.9:
        value: Any = _text(random)
        for _ in range(random.choice((3, 30, 60, 200))):
            value = [value] if random.random() < 0.5 else {"a": value}
        return value
    return [random.choice(_SCALARS) for _ in range(random.choice((1, 3, 500)))]


def _bomb(text: str, random: Random) -> str:
    width, depth = random.choice(((10, 9), (2, 40), (100, 4)))
    lines = ["x0: &x0 [lol]"]
    for level in range(1, depth):
        aliases = ", ".join([f"*x{level - 1}"] * width)
        lines.append(f"x{level}: &x{level} [{aliases}]")
    place = random.choice(("discovery: [{list: tasks, filters: {a: *LAST}}]", "routes: *LAST", ""))
    return "\n".join([*lines, place.replace("LAST", f"x{depth - 1}"), text])


def _merges(text: str, random: Random) -> str:
    levels = range(1, random.choice((3, 30)))
    lines = [f"m{one}: &m{one} {{<<: [*m{one - 1}, *m{one - 1}], b{one}: 1}}" for one in levels]
    return "\n".join(["m0: &m0 {a: 1}", *lines, text])


def _recursive(text: str, random: Random) -> str:
    return random.choice(("x: &x [*x]\n", "x: &x {<<: *x}\n", "x: &x {a: {b: *x}}\n")) + text


def _deep(text: str, random: Random) -> str:
    depth = random.choice((40, 60, 500, 5000))
    opening, closing = random.choice((("[", "]"), ("{a: ", "}"), ("- ", "")))
    return f"{text}\nfilters: {opening * depth}{closing * depth}\n"


def _repeated(text: str, random: Random) -> str:
    return text + "\n" + text * random.choice((1, 2, 30))


def _documents(text: str, random: Random) -> str:
    return f"{text}\n---\n{text}"


def _many(text: str, random: Random) -> str:
    count = random.choice((300, 5000))
    item = random.choice(("x%d: 1\n", "server%d: {a: b}\n", "'%d': {}\n"))
    return text + "\n" + "".join(item % number for number in range(count))


_WRAPPED: tuple[Callable[[str, Random], str], ...] = (
    *(_bomb, _merges, _recursive, _deep, _repeated, _documents, _many),
)


def _edited(content: bytes, random: Random) -> bytes:
    start = random.randrange(len(content) + 1)
    end = min(start + random.choice((0, 0, 1, 1, 2, 8, 64)), len(content))
    kind = random.random()
    if kind < 0.6:
        return content[:start] + random.choice(_FRAGMENTS) + content[end:]
    if kind < 0.7:
        return content[:start] + bytes([random.randrange(256)]) + content[end:]
    if kind < 0.8:
        return content[:start] + content[end:]
    if kind < 0.9:
        other = random.randrange(len(content) + 1)
        return content[:start] + content[other : other + 40] + content[end:]
    return content[:start] if random.random() < 0.5 else content[start:]


_KEYS = (
    *("port", "host", "api_token", "api_token_file", "tls", "tls__key_file", "url", "proxy"),
    *("max_interval", "stalled_after", "stalled_after__x", "max_size", "level", "hosts", "", "0"),
    *("cors_origins", "socket", "every", "url_file", "0__url", "port__x", "__", "ca_file"),
)
_SECTIONS = (
    *("server", "polling", "store", "telemetry", "heartbeat", "log", "sources", "channels"),
    *("routes", "discovery", "nothing", ""),
)
_NAMES = (
    *("MIXPEEK_API_KEY", "MIXPEEK_BASE_URL", "WATCHER_API_TOKEN", "WATCHER_WEBHOOK_URL"),
    *("WATCHER_WEBHOOK_SECRETS", "WATCHER_SLACK_URL", "WATCHER_SOURCES", "WATCHER_CHANNELS"),
    *("WATCHER_ROUTES", "WATCHER_DISCOVERY"),
)


def variables(random: Random, folder: Path) -> dict[str, str]:
    """Return random variables beside `ENVIRON`."""
    environ = {**ENVIRON, "HOME": str(folder)}
    for _ in range(random.choice((1, 1, 2, 3))):
        name = random.choice(_NAMES)
        if random.random() < 0.5:
            name = f"WATCHER_{random.choice(_SECTIONS)}__{random.choice(_KEYS)}".upper()
        kind = random.random()
        if kind < 0.4:
            value = random.choice((*_TEXTS, f"{CANARY}-token", _SIGNING, "\udcff", f"“{CANARY}”"))
        elif kind < 0.7:
            value = json.dumps(_value(random))
        else:
            lists = json.loads(json.dumps(random.choice(VALID)))
            value = json.dumps(_restructured({"x": lists["channels"]}, random).get("x"))
        environ[name] = value.replace("FOLDER", str(folder))
    return environ
