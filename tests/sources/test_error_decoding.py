"""Texts, reasons and contents of error replies."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.errors import ErrorReply, SourceError
from watcher.core.masking import SECRETS
from watcher.net.exchange import Reply
from watcher.sources._errors import reply_error
from watcher.sources.mixpeek.error_decoding import is_api_error

KEY = "sk_live_abc123"
SECRETS.add([KEY])

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=30) | st.dictionaries(st.text(max_size=12), inner, max_size=30)
    ),
    max_leaves=40,
)
error_names = st.sampled_from(
    ["error", "detail", "details", "message", "code", "type", "errors", "loc", "msg", "request_id"]
)
errors = st.recursive(
    json_values,
    lambda inner: st.dictionaries(error_names, inner, max_size=6) | st.lists(inner, max_size=3),
    max_leaves=30,
)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"error": {"message": "Task not found"}}', "HTTP 404 Task not found"),
        (b'{"error": "Task not found"}', "HTTP 404 Task not found"),
        (b'{"detail": "Not Found"}', "HTTP 404 Not Found"),
        (b'{"message": "Forbidden"}', "HTTP 404 Forbidden"),
        (b'{"title": "Gone", "detail": "Not here"}', "HTTP 404 Not here"),
        (b'{"detail": [{"loc": ["body"]}]}', "HTTP 404"),
        (b'{"error": {"reason": {"x": 1}}}', 'HTTP 404 {"reason":{"x":1}}'),
        (b'\xef\xbb\xbf{"error": "with a BOM"}', "HTTP 404 with a BOM"),
        (b'{"error": "a", "n": NaN}', "HTTP 404 a"),
        (b"{}", "HTTP 404"),
        (b"<html>", "HTTP 404"),
        (b"<html><TITLE>Attention &amp; stop</title>", "HTTP 404 Attention & stop"),
        (b'{"error": "a\\nb\\u001b[2J"}', "HTTP 404 a b [2J"),
        (b'{"error": "' + b"x" * 300 + b'"}', "HTTP 404 " + "x" * 200),
        (b'{"error": "' + b"x" * 2_000_000 + b'"}', "HTTP 404"),
    ],
)
def test_the_text_is_the_apis_own_printable_and_short(body: bytes, text: str) -> None:
    assert str(error_of(404, body)) == text
    assert error_of(404, body).status == 404


@pytest.mark.parametrize(
    ("details", "text"),
    [
        (
            {
                "validation_errors": [
                    {"loc": ["body", "x"], "msg": "Bad", "type": "extra_forbidden"}
                ]
            },
            "HTTP 422 Invalid: body.x: Bad (extra_forbidden)",
        ),
        (
            {"validation_errors": [{"field": "limit", "message": "too large"}, {"error": "b"}]},
            "HTTP 422 Invalid: limit: too large; b",
        ),
        (
            {"validation_errors": ["no a", "no b", "no c", "x", "y"]},
            "HTTP 422 Invalid: no a; no b; no c; and 2 more",
        ),
        (
            {"validation_errors": {"filters": ["not a list"]}},
            "HTTP 422 Invalid: filters: not a list",
        ),
        (
            {"errors": [{"error_code": "NO_BUCKET", "resource_id": "bkt_1", "message": "gone"}]},
            "HTTP 422 Invalid: bkt_1: gone (NO_BUCKET)",
        ),
        ([{"loc": ["query", "limit"], "msg": "low"}], "HTTP 422 Invalid: query.limit: low"),
        ({"batch_id": "batch_1", "attempt": 3}, "HTTP 422 Invalid: batch_id: batch_1; attempt: 3"),
        ([{"upload_id": "upl_1", "reason": "expired"}], "HTTP 422 Invalid: upl_1: expired"),
        ([{"shard": 7, "zone": "b"}], "HTTP 422 Invalid: shard: 7, zone: b"),
        ("Only drafts.", "HTTP 422 Invalid: Only drafts."),
        (None, "HTTP 422 Invalid"),
    ],
)
def test_details_are_in_the_text(details: Any, text: str) -> None:
    body = {"success": False, "status": 422, "error": {"message": "Invalid", "details": details}}
    assert str(error_of(422, json.dumps(body).encode())) == text


def test_details_that_the_message_repeats_are_left_out() -> None:
    details = {"validation_errors": [{"loc": ["body", "status"], "msg": "is not a status"}]}
    error = {"message": "status: 'BOILING' is not a status", "details": details}
    text = str(error_of(422, json.dumps({"error": error}).encode()))
    assert text == "HTTP 422 status: 'BOILING' is not a status"


def test_the_details_of_a_framework_are_in_the_text() -> None:
    body = {"detail": [{"loc": ["body", "filters", 0], "msg": "Field required", "type": "missing"}]}
    error = error_of(422, json.dumps(body).encode())
    assert str(error) == "HTTP 422 body.filters.0: Field required (missing)"
    assert error.reply is not None
    assert error.reply.details == body["detail"]


def test_code_type_and_request_id_are_kept() -> None:
    body = {
        "success": False,
        "status": 409,
        "error": {
            "message": "Batch is running",
            "type": "ConflictError",
            "code": "batch_not_draft",
            "details": {"batch_id": "batch_1"},
        },
    }
    error = error_of(409, json.dumps(body).encode(), **{"x-request-id": "req_1"})
    assert str(error) == (
        "HTTP 409 Batch is running: batch_id: batch_1 [code batch_not_draft, request req_1]"
    )
    assert error.reply == ErrorReply(
        status=409,
        code="batch_not_draft",
        kind="ConflictError",
        request_id="req_1",
        details={"batch_id": "batch_1"},
    )


@pytest.mark.parametrize(
    ("body", "headers", "request_id"),
    [
        ({"request_id": "r1"}, {}, "r1"),
        ({"error": {"message": "x", "request_id": "r1"}}, {}, "r1"),
        ({"error": {"message": "x", "details": {"request_id": "r1"}}}, {}, "r1"),
        ({"requestId": 77}, {}, "77"),
        ({}, {"x-correlation-id": "c1"}, "c1"),
        ({"request_id": "r1"}, {"cf-ray": "8a1-FRA"}, "r1"),
        ({}, {"cf-ray": "8a1-FRA"}, "8a1-FRA"),
        ({"request_id": "r1"}, {"x-request-id": "h1"}, "h1"),
        ({}, {"x-request-id": " "}, None),
        ({"request_id": {"x": 1}}, {}, None),
        ({"request_id": "r" * 500}, {}, "r" * 128),
    ],
)
def test_the_request_id_is_found(
    body: Any, headers: dict[str, str], request_id: str | None
) -> None:
    error = error_of(500, json.dumps(body).encode(), **headers)
    assert error.reply is not None
    assert error.reply.request_id == request_id
    assert (request_id is None) == ("request " not in str(error))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"error": {"message": "x", "code": 17}}, "17"),
        ({"error": {"message": "x", "code": 400}}, None),
        ({"error": "invalid_token", "error_description": "expired"}, "invalid_token"),
        ({"errorCode": "E1"}, "E1"),
        ({"code": True}, None),
    ],
)
def test_the_code_is_found(body: Any, code: str | None) -> None:
    error = error_of(400, json.dumps(body).encode())
    assert error.reply is not None
    assert error.reply.code == code


def test_plain_text_of_a_gateway_is_shown() -> None:
    text = "upstream connect error or disconnect/reset before headers"
    error = error_of(503, text.encode(), **{"content-type": "text/plain"})
    assert str(error) == f"HTTP 503 {text}"


@pytest.mark.parametrize(
    "body",
    [
        {"error": f"Bearer {KEY} is invalid"},
        {"error": {"message": "x", "code": KEY, "type": KEY, "request_id": KEY}},
        {"error": {"message": "x", "details": {KEY: [{"loc": [KEY], "msg": KEY, "input": KEY}]}}},
        {"detail": [{"loc": ["header", "authorization"], "msg": "bad", "input": f"Bearer {KEY}"}]},
        {"error": "x" * 195 + KEY},
    ],
)
def test_the_api_key_is_masked_wherever_it_is_echoed(body: Any) -> None:
    error = error_of(401, json.dumps(body).encode(), **{"x-trace-id": KEY})
    assert KEY[:8] not in f"{error} {error.reply}"


def test_long_details_are_shortened() -> None:
    details = [{"loc": ["body", n], "msg": "x" * 500, "input": ["y" * 90] * 99} for n in range(50)]
    error = error_of(422, json.dumps({"error": {"message": "v", "details": details}}).encode())
    assert error.reply is not None
    assert len(msgspec.json.encode(error.reply.details)) <= 4096
    assert "more" in str(error.reply.details)
    assert len(str(error)) < 800


@given(errors, st.dictionaries(st.sampled_from(["x-request-id", "cf-ray"]), st.text()))
def test_any_error_is_one_short_line_and_json_without_the_key(
    body: Any, headers: dict[str, str]
) -> None:
    error = error_of(422, json.dumps(body).replace("q", KEY).encode(), **headers)
    assert str(error).isprintable()
    assert len(str(error)) < 1000
    assert error.reply is not None
    assert len(msgspec.json.encode(error.reply.details)) <= 4096
    assert KEY not in f"{error} {error.reply}"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"success": false}', True),
        (b'{"error": {"message": "x"}}', True),
        (b'{"error": "x"}', False),
        (b'{"detail": "Not Found"}', False),
        (b"<html>", False),
        (b"null", False),
    ],
)
def test_a_404_of_the_api_is_recognised(body: bytes, expected: bool) -> None:
    assert is_api_error(body) is expected


def error_of(status: int, body: bytes, **headers: str) -> SourceError:
    return reply_error(reply(status, body, **headers), None)


def reply(status: int, body: bytes, **headers: str) -> Reply:
    return Reply(status=status, headers=headers, body=body, truncated=False)
