"""Masking: every part of a secret, in every spelling, and nothing else."""

import base64
import html
import json
import re
from urllib.parse import quote, quote_plus

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.errors import DeliveryError, DeliveryFailure
from watcher.core.events import bounded_name
from watcher.core.masking import MASK, MOST_VALUES, SECRETS, Mask
from watcher.core.secret_parts import parts, passwords_in, spellings
from watcher.core.statuses import StatusTable
from watcher.core.tasks import Detail, Observation

KEY = 'sk_/canary+"7f3a9c&é\\n'
BASIC = base64.b64encode(b"me:canary-word").decode()

SPELLINGS = {
    "as it is": KEY,
    "percent-encoded": quote(KEY, safe=""),
    "percent-encoded, lower": re.sub("%..", lambda found: found[0].lower(), quote(KEY)),
    "form": quote_plus(KEY),
    "JSON": json.dumps(KEY)[1:-1],
    "JSON with slashes": json.dumps(KEY)[1:-1].replace("/", "\\/"),
    "JSON in JSON": json.dumps(json.dumps(KEY))[3:-3],
    "JSON in UTF-8": json.dumps(KEY, ensure_ascii=False)[1:-1],
    "HTML": html.escape(KEY),
    "source code": repr(KEY)[1:-1],
    **{f"base64 after {n}": base64.b64encode(b"x" * n + KEY.encode()).decode() for n in range(4)},
    "base64 in URLs": base64.urlsafe_b64encode(b"user:" + KEY.encode()).decode(),
}


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_a_secret_is_masked_in_every_spelling(spelling: str) -> None:
    shown = Mask([KEY]).text(f"<{spelling}> end")
    assert MASK in shown
    assert "canary" not in shown
    assert base64.b64encode(b"canary")[:6].decode() not in shown
    assert shown.startswith("<")
    assert shown.endswith("> end")


SLACK = "https://hooks.slack.com/services/T0CANARY1/B0CANARY2/canary3XyZ"
PARTS = {
    "Bearer canary-token": ["canary-token", "Bearer canary-token"],
    f"Basic {BASIC}": [BASIC, "canary-word"],
    "Token token=canary_123,x=1": ["canary_123"],
    SLACK: [
        SLACK,
        "/services/T0CANARY1/B0CANARY2/canary3XyZ",
        "services/T0CANARY1/B0CANARY2/canary3XyZ",
        "T0CANARY1",
        "canary3XyZ",
    ],
    "https://x.example/a?code=canary&b=7canary8": ["canary", "7canary8", "code=canary&b=7canary8"],
    "https://x.example/a?canary-1234": ["canary-1234"],
    "http://me:canary@proxy:3128": ["me:canary", "canary", base64.b64encode(b"me:canary").decode()],
    "http://me:can%2Fary@proxy:3128": [
        "can%2Fary",
        "can/ary",
        base64.b64encode(b"me:can/ary").decode(),
    ],
    "https://canarytoken@x.example/": ["canarytoken"],
    "discord://123456789canary/canary-token-1": ["123456789canary", "canary-token-1"],
    "tgram://123456789:canary-token-1/987": ["canary-token-1"],
    "mailtos://alerts:canary@mail.example?to=a": ["canary"],
    "whsec_Y2FuYXJ5LWNhbmFyeS1jYW5hcnk=": ["Y2FuYXJ5LWNhbmFyeS1jYW5hcnk="],
    "whsec_Y2FuYXJ5LWNhbmFyeS1 until=2026-12-01T00:00:00Z": ["Y2FuYXJ5LWNhbmFyeS1"],
}


@pytest.mark.parametrize(("secret", "part"), [(s, p) for s, ps in PARTS.items() for p in ps])
def test_each_part_of_a_secret_is_masked(secret: str, part: str) -> None:
    assert part not in Mask([secret]).text(f"it says {part}.")


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        ("a", "a task has failed at 12:00"),
        ("key", "the key of key_1 is invalid"),
        ("prod", "production and prod_1"),
        (SLACK, "services of hooks.slack.com"),
        ("https://backend.example/hooks/tasks", "GET /hooks/tasks of backend.example"),
        ("https://x.example/v1/status-webhook?env=production", "production, v1, status-webhook"),
        ("https://x.example/x?at=2026-11-26", "2026-11-26"),
        ("mailtos://alerts:canary@mail.example", "alerts go to mail.example"),
        ("Bearer canary-token", "send Bearer and a token"),
    ],
)
def test_ordinary_words_stay(secret: str, text: str) -> None:
    assert Mask([secret]).text(text) == text


def test_names_of_sources_and_channels_stay() -> None:
    mask = Mask()
    mask.add(["https://x.example/hooks/backend-7"], public=["backend-7"])
    assert mask.text("'backend-7' at /hooks/backend-7") == f"'backend-7' at {MASK}"


def test_a_secret_is_masked_as_a_whole_where_a_limit_cuts_it() -> None:
    mask = Mask(["canary-1234"])
    assert mask.text("12345canary-1234 and more", 8) == "12345***"
    assert mask.text("canary-1234canary-1234", 12) == "********" + "****"
    assert mask.text("x" * 100, 7) == "x" * 7


def test_replaced_secrets_stay_masked_and_are_bounded() -> None:
    mask = Mask(["canary-old-1"])
    mask.add(["canary-new-2"])
    assert mask.text("canary-old-1 canary-new-2") == f"{MASK} {MASK}"
    mask.add(f"another_{number}" for number in range(MOST_VALUES))
    assert mask.text("canary-old-1") == "canary-old-1"
    assert mask.text("another_0 another_1999") == f"{MASK} {MASK}"


def test_json_is_the_same_bytes_unless_it_contains_a_secret() -> None:
    mask = Mask(["canary/key-1"])
    plain = b'{"a" : 1.50, "a": "key-1"}'
    assert mask.raw_json(plain) is plain
    for spelled in ("canary/key-1", "canary\\/key-1"):
        raw = f'{{"canary/key-1": ["Bearer {spelled}\\n", 7]}}'.encode()
        assert msgspec.json.decode(mask.raw_json(raw)) == {MASK: [f"Bearer {MASK}\n", 7]}


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_json_contains_no_spelling_of_a_part(spelling: str, ascii_only: bool) -> None:
    url = f"https://me:{quote(KEY, safe='')}@x.example/hooks"
    raw = json.dumps({"a": [1.50, f"<{spelling}> end"]}, ensure_ascii=ascii_only).encode()
    shown = json.loads(Mask([url]).raw_json(raw))["a"][1]
    assert MASK in shown
    assert "canary" not in shown


def test_json_keeps_all_but_the_text_with_a_secret() -> None:
    raw = b'{"n": 1e999, "big": ' + b"9" * 5000 + b', "s": "\\ud800 \\" \xff", "x": "%s" }'
    shown = Mask(["canary-1234"]).raw_json(raw.replace(b"%s", b"\\u00e9 canary-1234 \\ud800"))
    assert shown == raw.replace(b"%s", f"é {MASK} \\ud800".encode())


def test_short_values_stay_in_json_and_ordinary_data_is_not_changed() -> None:
    raw = b'{"outputs": {"name": "demo-1", "at": "canary"}}'
    assert Mask(["https://me:demo-1@x.example/canary"]).raw_json(raw) == raw


@given(st.text(min_size=8, max_size=40), st.text(max_size=9), st.text(max_size=9), st.booleans())
def test_no_spelling_is_left_in_any_json(
    secret: str, before: str, after: str, ascii_only: bool
) -> None:
    mask = Mask([secret])
    for spelling in spellings(secret):
        text = json.dumps([f"{before}{spelling}{after}"], ensure_ascii=ascii_only)
        (shown,) = json.loads(mask.raw_json(text.encode(errors="surrogatepass")))
        assert spelling not in shown.replace(MASK, "\0")


@given(st.lists(st.text(min_size=8, max_size=60), max_size=4), st.text(), st.text())
def test_no_secret_is_left_in_any_text(secrets: list[str], before: str, after: str) -> None:
    mask = Mask(secrets)
    for secret in secrets:
        assert secret not in mask.text(f"{before}{secret}{after}").replace(MASK, "\0")


@given(st.from_regex(r"[a-z]{1,6}://[^/ ]{0,20}@[^ ]{0,40}", fullmatch=True) | st.text())
def test_any_text_can_be_a_secret(secret: str) -> None:
    assert secret in parts(secret)
    assert isinstance(passwords_in(secret), list)
    Mask([secret])


class Details:
    def of(self, task_id: str) -> Detail:
        raw = msgspec.Raw(b'{"outputs": ["canary-in-task"]}')
        return Detail(error_message=f"{task_id}: canary-in-task", raw=raw)


def test_what_upstream_shows_of_a_task_is_masked() -> None:
    SECRETS.add(["canary-in-task"])
    observation = Observation(task_id="t", status="FAILED", details=Details())
    detail = observation.detail()
    assert detail.error_message == f"t: {MASK}"
    assert bytes(detail.raw) == b'{"outputs": ["********"]}'


class LongDetails:
    """What a source of others may give."""

    def of(self, task_id: str) -> Detail:
        return Detail(
            error_message="e" * 1_000_000,
            raw=msgspec.Raw(b"{}"),
            upstream_status="s" * 1_000_000,
        )


def test_what_any_plugin_says_is_cut() -> None:
    detail = Observation(task_id="t", status="FAILED", details=LongDetails()).detail()
    assert detail.error_message == "e" * 8191 + "…"
    assert detail.upstream_status == "s" * 255 + "…"
    error = DeliveryError(DeliveryFailure.REJECTED, "x" * 1_000_000, response="r" * 1_000_000)
    assert (len(str(error)), error.response) == (8192, "r" * 1024)


def test_a_long_text_is_masked_and_cut() -> None:
    mask = Mask()
    mask.add([KEY])
    text = "x" * 95 + KEY + "y" * 10_000_000
    shown = mask.cut(text, 100)
    assert (len(shown), shown[-1]) == (100, "…")
    assert "canary" not in mask.cut(text, 110)
    assert mask.cut("short", 5) == "short"
    assert mask.cut(f"12345{KEY}", 13) == f"12345{MASK}"
    assert mask.cut(f"12345{KEY}6", 13) == f"12345{MASK[1:]}"[:12] + "…"
    assert mask.cut(f"{KEY}!", 9) == f"{MASK}!"


def test_what_upstream_calls_a_task_is_masked() -> None:
    SECRETS.add(["canary-in-word"])
    assert bounded_name("of canary-in-word") == f"of {MASK}"
    assert StatusTable().canonical("canary-in-word") == MASK
