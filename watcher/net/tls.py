"""TLS: trusted authorities and client certificates. Certificates are always verified.

The verification is the same on every Python: 3.13 began to reject certificates that break RFC 5280,
such as those of old private authorities without key identifiers, and to trust an intermediate
authority in a `ca_file`. Here the first is a setting, and the second always so.
"""

import ssl
from _ssl import ENCODING_DER
from functools import lru_cache
from pathlib import Path

from watcher.core.errors import ConfigurationError
from watcher.core.settings import ConnectionSettings
from watcher.net.certificate_files import authorities_fault, identity_fault
from watcher.net.tls_errors import handshake_failure


class _Connection(ssl.SSLObject):
    """Explains a failed handshake in a note of its error."""

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            own_authorities = getattr(self.context, "own_authorities", False)
            error.add_note(
                handshake_failure(error, self._sent_chain(), own_authorities=own_authorities)
            )
            raise

    def _sent_chain(self) -> list[bytes]:
        """Return the certificates that the server sent; Python 3.13 has a public method."""
        chain = self._sslobj.get_unverified_chain()  # type: ignore[attr-defined]
        return [certificate.public_bytes(ENCODING_DER) for certificate in chain or ()]


class _Context(ssl.SSLContext):
    sslobject_class = _Connection
    own_authorities = False
    """Whether a `ca_file` replaces the system's authorities."""


def tls_context(settings: ConnectionSettings | None) -> ssl.SSLContext:
    """Return the TLS context for these settings.

    A `ca_file` replaces the system's authorities. Raises `ConfigurationError` for a file that
    cannot be used.
    """
    if settings is None:
        return _system_context(False)
    if settings.ca_file is None and settings.client_certificate_file is None:
        return _system_context(settings.strict_certificates)
    context = _verifying_context(settings.strict_certificates)
    if settings.ca_file is None:
        context.load_default_certs()
    else:
        _trust(context, settings.ca_file)
    if settings.client_certificate_file is not None:
        _identify(context, settings.client_certificate_file, settings.client_key_file)
    return context


@lru_cache(maxsize=2)
def _system_context(strict: bool) -> ssl.SSLContext:
    # Shared, because the system's authorities take some time and memory.
    context = _verifying_context(strict)
    context.load_default_certs()
    return context


def _verifying_context(strict: bool) -> _Context:
    context = _Context(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if strict:
        context.verify_flags |= ssl.VERIFY_X509_STRICT
    else:
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _trust(context: _Context, file: Path) -> None:
    context.own_authorities = True
    try:
        context.load_verify_locations(file)
    except (OSError, ValueError) as error:
        raise ConfigurationError([f"ca_file: {authorities_fault(file, error)}"]) from None
    if not context.get_ca_certs() and not context.cert_store_stats()["x509"]:
        raise ConfigurationError([f"ca_file: {authorities_fault(file, None)}"])


def _identify(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    try:
        # Without `password` an encrypted key would prompt for a passphrase on the terminal.
        context.load_cert_chain(certificate, key, password=lambda: b"")
    except (OSError, ValueError) as error:
        fault = identity_fault(certificate, key, error, prefix="client_")
        raise ConfigurationError([fault]) from None
