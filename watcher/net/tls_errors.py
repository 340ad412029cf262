"""Failed TLS handshakes in words that say what to set. No text contains a URL or a header."""

import ssl
from collections.abc import Iterator, Sequence

import aiohttp

_NOT_VALID = "the TLS certificate is not valid: "

_VERSION = (
    "the server and the watcher share no TLS protocol version: the server must allow TLS 1.2 or 1.3"
)
_NO_TLS = "the port does not use TLS (plain HTTP?): check the port, or begin the URL with http://"
_CERTIFICATE_WANTED = "the server requires a client certificate: set client_certificate_file"
_CERTIFICATE_REJECTED = "the server rejects the client certificate"
_REASONS = (
    ("ALERT_PROTOCOL_VERSION", _VERSION),
    ("UNSUPPORTED_PROTOCOL", _VERSION),
    ("WRONG_SSL_VERSION", _VERSION),
    ("NO_PROTOCOLS_AVAILABLE", _VERSION),
    ("ALERT_INAPPROPRIATE_FALLBACK", _VERSION),
    ("WRONG_VERSION_NUMBER", _NO_TLS),
    ("HTTP_REQUEST", _NO_TLS),
    ("PACKET_LENGTH_TOO_LONG", _NO_TLS),
    ("RECORD_LAYER_FAILURE", _NO_TLS),
    ("UNEXPECTED_MESSAGE", _NO_TLS),
    ("ALERT_CERTIFICATE_REQUIRED", _CERTIFICATE_WANTED),
    ("PEER_DID_NOT_RETURN_A_CERTIFICATE", _CERTIFICATE_WANTED),
    (
        "ALERT_UNKNOWN_CA",
        f"{_CERTIFICATE_REJECTED}, because it does not know its authority: "
        "check client_certificate_file",
    ),
    (
        "ALERT_CERTIFICATE_EXPIRED",
        f"{_CERTIFICATE_REJECTED}, because it has expired: renew client_certificate_file",
    ),
    (
        "ALERT_CERTIFICATE_REVOKED",
        f"{_CERTIFICATE_REJECTED}, because it was revoked: renew client_certificate_file",
    ),
    (
        "ALERT_BAD_CERTIFICATE",
        f"{_CERTIFICATE_REJECTED}, or requires one: check client_certificate_file",
    ),
    ("ALERT_UNSUPPORTED_CERTIFICATE", f"{_CERTIFICATE_REJECTED}: check client_certificate_file"),
    ("ALERT_CERTIFICATE_UNKNOWN", f"{_CERTIFICATE_REJECTED}: check client_certificate_file"),
    ("ALERT_DECRYPT_ERROR", f"{_CERTIFICATE_REJECTED}: check client_certificate_file"),
    (
        "ALERT_ACCESS_DENIED",
        f"{_CERTIFICATE_REJECTED}, because it gives no access: check client_certificate_file",
    ),
    (
        "ALERT_UNRECOGNIZED_NAME",
        "the server has no TLS certificate for this host name: check the host of the URL",
    ),
    (
        "KEY_TOO_SMALL",
        "the server's TLS key is too short to be secure: it needs a longer one",
    ),
    (
        "UNEXPECTED_EOF_WHILE_READING",
        "the server closed the connection during the TLS handshake",
    ),
)

_CLOSED_IN_HANDSHAKE = (
    "the server closed the connection during the TLS handshake: it may use no TLS on this port, "
    "or only an old protocol version, or require a client certificate (client_certificate_file)"
)
_CLOSED_AFTER_HANDSHAKE = (
    "the connection was closed without a response after the TLS handshake: the server may require "
    "a client certificate (client_certificate_file)"
)
_CLOSED_WITHOUT_TLS = (
    "the connection was closed without a response: if the port expects TLS, begin the URL with "
    "https://"
)
_TLS_ANSWER = "the port expects TLS, not plain HTTP: begin the URL with https://"


def handshake_failure(error: ssl.SSLError, chain: Sequence[bytes], *, own_authorities: bool) -> str:
    """Return what is wrong, and what to set.

    `chain` has the certificates that the server sent, its own first, each in DER.
    `own_authorities`: whether a `ca_file` replaces the system's authorities.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        # What parses certificates takes 9 MiB, and most daemons never need it.
        from watcher.net.certificate_faults import certificate_fault

        return _NOT_VALID + certificate_fault(error, chain, own_authorities=own_authorities)
    reason = error.reason or ""
    if reason.endswith("ALERT_HANDSHAKE_FAILURE"):
        # The server's certificate follows the agreement on ciphers, and is followed by ours.
        return (
            _CERTIFICATE_WANTED
            if chain
            else "the server and the watcher share no TLS cipher: the server must allow newer ones"
        )
    return _by_reason(reason)


def _by_reason(reason: str) -> str:
    fallback = f"the TLS handshake failed ({reason.lower().replace('_', ' ') or 'no reason given'})"
    return next((text for name, text in _REASONS if reason.endswith(name)), fallback)


def explained(error: Exception, *, encrypted: bool, unanswered: bool) -> str | None:
    """Return the text for an error of aiohttp that concerns TLS; None for any other.

    `encrypted`: whether the URL begins with https://. `unanswered`: whether the request was the
    first of its connection and no byte of a response has arrived.
    """
    if isinstance(error, aiohttp.ClientPayloadError):
        return None
    for cause in _causes(error):
        # aiohttp's errors are of the same kind, without a reason.
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, aiohttp.ClientError):
            notes = getattr(cause, "__notes__", ())
            return notes[0] if notes else _by_reason(cause.reason or "")
    if isinstance(error, aiohttp.ClientResponseError):
        # An alert: its content type and the major version of TLS.
        return _TLS_ANSWER if not encrypted and r"\x15\x03" in error.message else None
    return _closed(error, encrypted, unanswered)


def _closed(error: Exception, encrypted: bool, unanswered: bool) -> str | None:
    if isinstance(error, aiohttp.ClientConnectorError):
        # The event loop's own error, without a number, is raised only during a handshake.
        reset = isinstance(error.os_error, ConnectionError) and error.os_error.errno is None
        return _CLOSED_IN_HANDSHAKE if encrypted and reset else None
    closed = isinstance(error, aiohttp.ServerDisconnectedError | ConnectionResetError)
    if closed and unanswered:
        return _CLOSED_AFTER_HANDSHAKE if encrypted else _CLOSED_WITHOUT_TLS
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(5):
        if error is None:
            return
        yield error
        error = error.__cause__
