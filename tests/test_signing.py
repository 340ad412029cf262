"""Signatures that the public libraries verify."""

import base64
import datetime
import json
from typing import Any

import pytest
import standardwebhooks
import svix
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import SECRET
from watcher.signing import Signer, parse_secret

OTHER = "whsec_" + base64.b64encode(bytes(range(32))).decode()
payloads = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


def headers(secrets: list[str], body: bytes, event_id: str = "msg_1", timestamp: int | None = None) -> dict[str, str]:
    now = int(datetime.datetime.now(datetime.UTC).timestamp()) if timestamp is None else timestamp
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(now),
        "webhook-signature": Signer(secrets).sign(event_id, now, body),
    }


def test_the_specifications_own_example() -> None:
    signed = Signer([SECRET]).sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(payload=payloads, event_id=st.from_regex(r"msg_[A-Za-z0-9_-]{24}", fullmatch=True))
def test_any_payload_verifies_with_the_public_libraries(payload: Any, event_id: str) -> None:
    body = json.dumps(payload).encode()
    signed = headers([SECRET], body, event_id)
    standardwebhooks.Webhook(SECRET).verify(body, signed)
    svix.Webhook(SECRET).verify(body, signed)


@given(body=st.binary(min_size=1, max_size=200), position=st.integers(0, 199), flip=st.integers(1, 255))
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
        assert parse_secret(f"whsec_{text}") == parse_secret(text) == key
    else:
        with pytest.raises(ValueError, match="24 to 64"):
            parse_secret(f"whsec_{text}")


@pytest.mark.parametrize("text", ["whsec_ä", "not base64!", "whsk_" + "A" * 88, "whsec_AAA"])
def test_what_is_no_secret_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ValueError, match=r"base64|asymmetric") as caught:
        parse_secret(text)
    assert text not in str(caught.value)
    assert SECRET not in repr(Signer([SECRET]))
