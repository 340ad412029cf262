"""Failed TLS handshakes in words that say what to set. No text contains a URL or a header.

OpenSSL's own texts say neither which certificate is at fault nor what to do. The certificates that
the server sent are parsed only after a handshake has failed.
"""

import ssl
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import aiohttp
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

from watcher.core.texts import spaced

_NOT_VALID = "the TLS certificate is not valid: "
_LONGEST_NAME = 100
_NAMES_SHOWN = 3

# Codes of X509_verify_cert, from openssl/x509_vfy.h.
_NO_ISSUER = frozenset({2, 20, 21})
_NOT_YET_VALID, _EXPIRED, _SELF_SIGNED, _UNKNOWN_ROOT = 9, 10, 18, 19
_OTHER_HOST = frozenset({62, 63, 64})
_WEAK = frozenset({66, 67, 68})
_STRICT = frozenset(range(79, 95)) - {94}

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
        return _NOT_VALID + _invalid_certificate(error, chain, own_authorities)
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


def _invalid_certificate(
    error: ssl.SSLCertVerificationError, chain: Sequence[bytes], own_authorities: bool
) -> str:
    try:
        certificates = [x509.load_der_x509_certificate(one) for one in chain]
        text = _known_fault(error.verify_code, certificates, own_authorities)
    except Exception:  # noqa: BLE001  (the parser has many kinds; OpenSSL's text is left then)
        text = None
    if text is not None:
        return text
    message = _shown(error.verify_message.partition(",")[0])
    if error.verify_code in _WEAK:
        return f"its key or signature is too weak ({message}): it must be issued again"
    if error.verify_code in _STRICT:
        return f"{message} (if strict_certificates is set, unset it)"
    return message


def _known_fault(
    code: int, certificates: Sequence[x509.Certificate], own_authorities: bool
) -> str | None:
    if code in (_EXPIRED, _NOT_YET_VALID):
        return _out_of_date(code, certificates, datetime.now(UTC))
    if not certificates:
        return None
    if code in _OTHER_HOST:
        return _other_host(certificates[0])
    if code == _SELF_SIGNED:
        return "it is self-signed: if you trust it, set ca_file to a PEM file that contains it"
    if code == _UNKNOWN_ROOT:
        return _unknown_authority(_name(certificates[-1].subject))
    if code in _NO_ISSUER:
        return _no_issuer(certificates, own_authorities)
    return None


def _out_of_date(code: int, certificates: Sequence[x509.Certificate], now: datetime) -> str:
    if code == _EXPIRED:
        for certificate in certificates:
            if certificate.not_valid_after_utc < now:
                which = _which(certificate, certificates)
                ended = certificate.not_valid_after_utc
                return f"{which} expired on {ended:%Y-%m-%d}: the server needs a new one"
        return "the certificate of its authority has expired: renew it in ca_file"
    for certificate in certificates:
        if certificate.not_valid_before_utc > now:
            which = _which(certificate, certificates)
            begins = certificate.not_valid_before_utc
            return (
                f"{which} is not yet valid, only from {begins:%Y-%m-%d %H:%M} UTC: check the clock"
            )
    return "the certificate of its authority is not yet valid: check the clock, and ca_file"


def _which(certificate: x509.Certificate, certificates: Sequence[x509.Certificate]) -> str:
    if certificate is certificates[0]:
        return "it"
    return f'the certificate of its authority "{_name(certificate.subject)}"'


def _other_host(certificate: x509.Certificate) -> str:
    names = _host_names(certificate)
    if not names:
        return "it has no subject alternative name (SAN), so no host: it must be issued again"
    rest = len(names) - _NAMES_SHOWN
    shown = ", ".join(names[:_NAMES_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
    return f"it is for another host ({shown}): check the host of the URL, or issue it again"


def _host_names(certificate: x509.Certificate) -> list[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    names = extension.value
    hosts = [
        *names.get_values_for_type(x509.DNSName),
        *names.get_values_for_type(x509.IPAddress),
    ]
    return [_shown(str(host)) for host in hosts]


def _no_issuer(certificates: Sequence[x509.Certificate], own_authorities: bool) -> str:
    """Distinguish an unknown authority from an intermediate certificate that is not sent.

    A server that sends its own certificate alone may be either: then it is an intermediate one if
    the certificate says where to get it, as those of public authorities do.
    """
    issuer = _name(certificates[-1].issuer)
    alone = len(certificates) == 1
    if alone and _names_issuer_address(certificates[0]):
        return (
            f'the server does not send the intermediate certificate "{issuer}": '
            "it must send the whole chain, or add that certificate to ca_file"
        )
    if alone and own_authorities:
        return (
            f'its issuer "{issuer}" is neither in ca_file nor sent by the server: the server must '
            "send the missing intermediate certificate; if this is an unknown authority, add it "
            "to ca_file"
        )
    return _unknown_authority(issuer)


def _unknown_authority(name: str) -> str:
    return f'the authority "{name}" is unknown: set ca_file to a PEM file with its certificate'


def _names_issuer_address(certificate: x509.Certificate) -> bool:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess)
    except x509.ExtensionNotFound:
        return False
    method = AuthorityInformationAccessOID.CA_ISSUERS
    return any(one.access_method == method for one in extension.value)


def _name(name: x509.Name) -> str:
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return _shown(str(common[0].value) if common else name.rfc4514_string())


def _shown(text: str) -> str:
    return spaced(text[:_LONGEST_NAME])
