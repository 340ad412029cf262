"""What is wrong with the certificates of a server, in words that say what to do.

OpenSSL's own texts say neither which certificate is at fault nor what to set.
"""

import ssl
from collections.abc import Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

from watcher.core.texts import spaced

_LONGEST_NAME = 100
_NAMES_SHOWN = 3

# Codes of X509_verify_cert, from openssl/x509_vfy.h.
_NO_ISSUER = frozenset({2, 20, 21})
_NOT_YET_VALID, _EXPIRED, _SELF_SIGNED, _UNKNOWN_ROOT = 9, 10, 18, 19
_OTHER_HOST = frozenset({62, 63, 64})
_WEAK = frozenset({66, 67, 68})
_STRICT = frozenset(range(79, 95)) - {94}


def certificate_fault(
    error: ssl.SSLCertVerificationError, chain: Sequence[bytes], *, own_authorities: bool
) -> str:
    """Return what is wrong with the certificates that a server sent, and what to do.

    `chain` and `own_authorities` are those of `tls_errors.handshake_failure`.
    """
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
