"""Why a file of certificates or of a key cannot be used, in one line that says what to do."""

import ssl
from pathlib import Path

_LONGEST = 16 * 1024 * 1024
_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_TRUSTED = b"-----BEGIN TRUSTED CERTIFICATE-----"
_REQUEST = b"CERTIFICATE REQUEST-----"
_KEY = b"PRIVATE KEY-----"
_ENCRYPTED = (b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"Proc-Type: 4,ENCRYPTED")


def authorities_fault(file: Path, error: Exception | None) -> str:
    """Return why OpenSSL cannot use `file` as a `ca_file`."""
    content = _content(file)
    if isinstance(content, str):
        return content
    unusable = f"{file} cannot be used: "
    if (fault := _not_pem(content)) is not None:
        return unusable + fault
    if _CERTIFICATE not in content and _TRUSTED not in content:
        return f"{unusable}no certificate in it, only {_kind(content)}"
    return f"{unusable}no valid PEM certificate"


def identity_fault(
    certificate: Path, key: Path | None, error: Exception, *, prefix: str = ""
) -> str:
    """Return the setting, which begins with `prefix`, and why OpenSSL cannot use its file."""
    setting = f"{prefix}certificate_file"
    content = _content(certificate)
    if isinstance(content, str):
        return f"{setting}: {content}"
    unusable = f"{setting}: {certificate} cannot be used: "
    if (fault := _not_pem(content)) is not None:
        return unusable + fault
    if _CERTIFICATE not in content and _TRUSTED not in content:
        return f"{unusable}no certificate in it, only {_kind(content)}"
    if key is None and _KEY not in content:
        return f"{unusable}no private key in it; set {prefix}key_file to the file of its key"
    return _key_fault(certificate, key, content, error, prefix)


def _key_fault(
    certificate: Path, key: Path | None, content: bytes, error: Exception, prefix: str
) -> str:
    setting = f"{prefix}certificate_file" if key is None else f"{prefix}key_file"
    file = certificate if key is None else key
    if key is not None:
        read = _content(key)
        if isinstance(read, str):
            return f"{setting}: {read}"
        if (fault := _not_pem(read)) is not None:
            return f"{setting}: {file} cannot be used: {fault}"
        if _KEY not in read:
            return f"{setting}: {file} cannot be used: no private key in it, only {_kind(read)}"
        content = read
    if any(mark in content for mark in _ENCRYPTED):
        return (
            f"{setting}: {file} cannot be used: the key has a passphrase; "
            "remove it with `openssl pkey`"
        )
    if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
        return f"{setting}: {file} cannot be used: the key does not belong to the certificate"
    if isinstance(error, ssl.SSLError) and (error.reason or "").endswith(
        ("KEY_TOO_SMALL", "MD_TOO_WEAK")
    ):
        return f"{prefix}certificate_file: {certificate} cannot be used: its key is too weak"
    return f"{setting}: {file} cannot be used: no valid PEM certificate and key"


def _content(file: Path) -> bytes | str:
    """Return the bytes of `file`, or why there are none."""
    try:
        with file.open("rb") as opened:
            content = opened.read(_LONGEST)
    except IsADirectoryError:
        return f"{file} cannot be used: it is a directory; expected a PEM file"
    except OSError as error:
        return f"{file} cannot be read: {error.strerror}"
    return content if content.strip() else f"{file} cannot be used: no valid PEM, the file is empty"


def _not_pem(content: bytes) -> str | None:
    if b"-----BEGIN " in content:
        return None
    if _is_der_certificate(content):
        return "it is DER, not PEM; convert it with `openssl x509 -inform der`"
    if _is_der_key(content):
        return "it is a key in DER, not PEM; convert it with `openssl pkey -inform der`"
    if _is_pkcs12(content):
        return "it is PKCS #12, not PEM; convert it with `openssl pkcs12 -nodes`"
    return "no valid PEM in it"


# What parses certificates is imported only for a file that cannot be used: it takes 9 MiB.


def _is_der_certificate(content: bytes) -> bool:
    from cryptography import x509

    try:
        x509.load_der_x509_certificate(content)
    except ValueError:
        return False
    return True


def _is_der_key(content: bytes) -> bool:
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    try:
        load_der_private_key(content, None)
    except TypeError:
        return True  # encrypted
    except Exception:  # noqa: BLE001  (several kinds, for a file of any content)
        return False
    return True


def _is_pkcs12(content: bytes) -> bool:
    from cryptography.hazmat.primitives.serialization import pkcs12

    try:
        pkcs12.load_key_and_certificates(content, None)
    except ValueError as error:
        return "password" in str(error).lower()
    except Exception:  # noqa: BLE001  (several kinds, for a file of any content)
        return False
    return True


def _kind(content: bytes) -> str:
    if _KEY in content:
        return "a private key"
    if _REQUEST in content:
        return "a certificate request"
    return "a certificate" if _CERTIFICATE in content else "something else"
