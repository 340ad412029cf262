"""Certificates: whom a connection trusts, and what it shows of itself. Verification is never off."""

import ssl

from watcher.core.errors import ConfigurationError
from watcher.core.settings import ConnectionSettings


def tls_context(settings: ConnectionSettings) -> ssl.SSLContext | None:
    """Return what TLS to this peer needs beyond the system's authorities, None where it needs nothing.

    A `ca_file` is trusted instead of the system's authorities, not beside them. Raises `ConfigurationError` for a file
    that cannot be used.
    """
    if settings.ca_file is None and settings.client_certificate_file is None:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ValueError) as error:
        raise _unusable("ca_file", settings.ca_file, error) from None
    if settings.client_certificate_file is not None:
        try:
            # A key behind a passphrase would otherwise ask for it on the terminal.
            context.load_cert_chain(
                settings.client_certificate_file, settings.client_key_file, password=lambda: b""
            )
        except (OSError, ValueError) as error:
            raise _unusable(
                "client_certificate_file", settings.client_certificate_file, error
            ) from None
    return context


def _unusable(key: str, file: object, error: Exception) -> ConfigurationError:
    if isinstance(error, ssl.SSLError) or not isinstance(error, OSError):
        why = "it holds no usable PEM certificate" + (
            " with its key" if key.startswith("client") else ""
        )
        return ConfigurationError([f"{key}: {file} cannot be used: {why}"])
    return ConfigurationError([f"{key}: {error.filename or file} cannot be read: {error.strerror}"])
