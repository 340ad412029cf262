"""TLS: trusted authorities and client certificates. Certificates are always verified."""

import ssl

from watcher.core.errors import ConfigurationError
from watcher.core.settings import ConnectionSettings


def tls_context(settings: ConnectionSettings) -> ssl.SSLContext | None:
    """Return the TLS context for these settings; None if the default one is sufficient.

    A `ca_file` replaces the system's authorities. Raises `ConfigurationError` for a file that
    cannot be used.
    """
    if settings.ca_file is None and settings.client_certificate_file is None:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ValueError) as error:
        raise _unusable("ca_file", settings.ca_file, error) from None
    if settings.client_certificate_file is not None:
        try:
            # Without `password` an encrypted key would prompt for a passphrase on the terminal.
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
        content = "certificate and key" if key.startswith("client") else "certificate"
        return ConfigurationError([f"{key}: {file} cannot be used: no valid PEM {content}"])
    return ConfigurationError([f"{key}: {error.filename or file} cannot be read: {error.strerror}"])
