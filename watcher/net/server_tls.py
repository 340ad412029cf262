"""TLS of the watcher's own listeners, whose files may be replaced while they are in use."""

import ssl

from watcher.core.errors import ConfigurationError
from watcher.core.listener_settings import TlsSettings
from watcher.net.certificate_files import authorities_fault, identity_fault


def server_context(settings: TlsSettings) -> ssl.SSLContext:
    """Return the context of a listener: TLS 1.2 or 1.3.

    Raises `ConfigurationError` for a file that cannot be used, with the key of its setting.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    certificate, key, authorities = (
        settings.certificate_file,
        settings.key_file,
        settings.client_ca_file,
    )
    try:
        # Without `password` an encrypted key would prompt for a passphrase on the terminal.
        context.load_cert_chain(certificate, key, password=lambda: b"")
    except (OSError, ValueError) as error:
        raise ConfigurationError([identity_fault(certificate, key, error)]) from None
    if authorities is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        try:
            context.load_verify_locations(authorities)
        except (OSError, ValueError) as error:
            fault = authorities_fault(authorities, error)
            raise ConfigurationError([f"client_ca_file: {fault}"]) from None
        if not context.cert_store_stats()["x509"]:
            fault = authorities_fault(authorities, None)
            raise ConfigurationError([f"client_ca_file: {fault}"])
    return context


class ListenerTls:
    """TLS of a listener that stays open while its files are replaced.

    Raises like `server_context`.
    """

    def __init__(self, settings: TlsSettings) -> None:
        self._settings = settings
        self.context = server_context(settings)
        """For new connections: of the files as they were last read."""

    def reload(self) -> None:
        """Read the files again; if they cannot be used, nothing changes."""
        self.context = server_context(self._settings)
