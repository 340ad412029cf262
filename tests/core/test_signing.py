"""Signatures that the public libraries verify."""

import base64
import datetime
import json
import time
from random import Random
from typing import Any

import pytest
import standardwebhooks
import svix
from hypothesis import given
from hypothesis import strategies as st

from tests.support.records import SECRET
from watcher.core.signing import Signer, VerificationError, parse_secret, split_secrets, verify

# The vector of an asymmetric key that the public libraries are tested with.
PRIVATE = (
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
)
PUBLIC = "whpk_" + base64.b64encode(base64.b64decode(PRIVATE.removeprefix("whsk_"))[32:]).decode()
V1A = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
OTHER = "whsec_" + base64.b64encode(bytes(range(32))).decode()
payloads = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)


def headers(
    secrets: list[str], body: bytes, event_id: str = "msg_1", timestamp: int | None = None
) -> dict[str, str]:
    now = int(datetime.datetime.now(datetime.UTC).timestamp()) if timestamp is None else timestamp
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(now),
        "webhook-signature": Signer(secrets).sign(event_id, now, body),
    }


def test_the_specifications_own_example() -> None:
    signed = Signer([SECRET]).sign(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(payload=payloads, event_id=st.from_regex(r"msg_[A-Za-z0-9_-]{24}", fullmatch=True))
def test_any_payload_verifies_with_the_public_libraries(payload: Any, event_id: str) -> None:
    body = json.dumps(payload).encode()
    signed = headers([SECRET], body, event_id)
    standardwebhooks.Webhook(SECRET).verify(body, signed)
    svix.Webhook(SECRET).verify(body, signed)


@given(
    body=st.binary(min_size=1, max_size=200), position=st.integers(0, 199), flip=st.integers(1, 255)
)
def test_a_changed_byte_does_not_verify(body: bytes, position: int, flip: int) -> None:
    text = base64.b64encode(body)  # the libraries want text
    place = position % len(text)
    changed = text[:place] + bytes([(text[place] ^ flip) & 0x7F]) + text[place + 1 :]
    signed = headers([SECRET], text)
    if changed == text:
        return
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(SECRET).verify(changed, signed)
    with pytest.raises(svix.WebhookVerificationError):
        svix.Webhook(SECRET).verify(changed, signed)


def test_another_key_does_not_verify_and_either_of_two_does() -> None:
    body = b"{}"
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(OTHER).verify(body, headers([SECRET], body))
    both = headers([OTHER, SECRET], body)
    for secret in (OTHER, SECRET):
        standardwebhooks.Webhook(secret).verify(body, both)
        svix.Webhook(secret).verify(body, both)
    assert both["webhook-signature"].split()[0] == headers([OTHER], body)["webhook-signature"]


@given(st.binary(max_size=100))
def test_secrets_have_24_to_64_bytes(key: bytes) -> None:
    text = base64.b64encode(key).decode()
    if 24 <= len(key) <= 64:
        assert parse_secret(f"whsec_{text}").sign(b"x") == parse_secret(text).sign(b"x")
    else:
        with pytest.raises(ValueError, match="24 to 64"):
            parse_secret(f"whsec_{text}")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("whsec_ä", "base64"),
        ("whsec_AAA", "base64"),
        ("not-base64!", "base64"),
        ("whsk_" + "A" * 88, "66 bytes"),
        (PRIVATE[:-10] + "AAAAAAAA==", "do not match"),
        (PUBLIC, "public key"),
        (f"{SECRET} till=2026-12-01T00:00:00Z", "an expiry such as"),
        (f"{SECRET} until=soon", "an invalid expiry"),
    ],
)
def test_an_invalid_secret_is_an_error_that_does_not_show_it(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        parse_secret(text)
    assert text.partition(" ")[0] not in str(caught.value)
    assert SECRET not in repr(Signer([SECRET]))


# Asymmetric


def test_an_asymmetric_secret_signs_as_the_specification_has_it() -> None:
    signed = Signer([PRIVATE]).sign(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert signed == V1A


def test_both_kinds_sign_in_the_order_they_are_given() -> None:
    signed = headers([PRIVATE, SECRET], b"{}")
    assert [one.partition(",")[0] for one in signed["webhook-signature"].split()] == ["v1a", "v1"]
    standardwebhooks.Webhook(SECRET).verify(b"{}", signed)
    svix.Webhook(SECRET).verify(b"{}", signed)
    for secret in (SECRET, PRIVATE, PUBLIC):
        assert verify([secret], signed, b"{}", float(signed["webhook-timestamp"])) == 0


# Rotation


def test_a_secret_signs_until_its_end_date() -> None:
    end = 1_800_000_000
    moment = datetime.datetime.fromtimestamp(end, datetime.UTC).isoformat()
    signer = Signer([OTHER, f"{SECRET} until={moment}"])
    assert len(signer.sign("msg_1", end - 1, b"{}").split()) == 2
    assert signer.sign("msg_1", end, b"{}") == Signer([OTHER]).sign("msg_1", end, b"{}")


def test_one_secret_has_to_be_without_an_end() -> None:
    with pytest.raises(ValueError, match="at least one must have none"):
        Signer([f"{SECRET} until=2126-12-01T00:00:00Z"])


def test_secrets_are_separated_by_white_space_or_commas_and_keep_their_end_dates() -> None:
    text = f"{OTHER}\n{SECRET} until=2026-12-01T00:00:00Z, {PRIVATE}\n"
    assert split_secrets(text) == [OTHER, f"{SECRET} until=2026-12-01T00:00:00Z", PRIVATE]


# Verifying


@given(
    body=st.binary(max_size=200),
    secret=st.sampled_from([SECRET, PRIVATE]),
    place=st.integers(0, 199),
)
def test_what_is_signed_verifies_and_what_is_changed_does_not(
    body: bytes, secret: str, place: int
) -> None:
    signed = headers([secret], body, timestamp=1_800_000_000)
    assert verify([OTHER, secret], signed, body, 1_800_000_299.0) == 1
    with pytest.raises(VerificationError, match="no signature"):
        verify([secret], signed, body[:place] + b"x" + body[place:], 1_800_000_000.0)
    with pytest.raises(VerificationError, match="differs by"):
        verify([secret], signed, body, 1_800_000_301.0)


@given(
    st.dictionaries(
        st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]), st.text()
    )
)
def test_any_headers_are_rejected_with_a_reason(made_up: dict[str, str]) -> None:
    for secret in (SECRET, PUBLIC):
        with pytest.raises(VerificationError):
            verify([secret], made_up, b"{}", 0.0)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/St_Johns"])
def test_a_thousand_payloads_verify_wherever_the_clock_hangs(
    zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        random = Random(zone)
        for number in range(334):
            body = json.dumps(
                {"number": number, "text": "".join(map(chr, random.sample(range(32, 0xD7FF), 20)))}
            ).encode()
            signed = headers([OTHER, SECRET, PRIVATE], body, f"msg_{number}")
            standardwebhooks.Webhook(SECRET).verify(body, signed)
            svix.Webhook(OTHER).verify(body, signed)
            assert verify([PUBLIC], signed, body, time.time()) == 0
    finally:
        monkeypatch.undo()
        time.tzset()
