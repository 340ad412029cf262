"""Certificates with every fault that a test needs; trustme makes valid ones only."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Certificate:
    name: str
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def key_pem(self) -> bytes:
        return self.encoded_key(serialization.Encoding.PEM)

    def encoded_key(
        self, encoding: serialization.Encoding, passphrase: bytes | None = None
    ) -> bytes:
        return self.key.private_bytes(
            encoding,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption()
            if passphrase is None
            else serialization.BestAvailableEncryption(passphrase),
        )


def issue(
    name: str,
    issuer: Certificate | None = None,
    *,
    authority: bool = False,
    hosts: Sequence[str] = (),
    begins: timedelta = -DAY,
    ends: timedelta = 30 * DAY,
    key_identifiers: bool = True,
    issuer_address: bool = False,
    for_clients: bool = False,
    like: Certificate | None = None,
) -> Certificate:
    """Return a certificate that `issuer` signed, or that is self-signed.

    `begins` and `ends` count from now. `like` gives the key of another certificate.
    """
    key = ec.generate_private_key(ec.SECP256R1()) if like is None else like.key
    now = datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + max(ends, begins + DAY))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    signer = key if issuer is None else issuer.key
    for extension in _extensions(hosts, issuer_address, for_clients):
        builder = builder.add_extension(extension, critical=False)
    if key_identifiers:
        builder = builder.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        ).add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    return Certificate(name=name, certificate=builder.sign(signer, hashes.SHA256()), key=key)


def _extensions(
    hosts: Sequence[str], issuer_address: bool, for_clients: bool
) -> list[x509.ExtensionType]:
    extensions: list[x509.ExtensionType] = []
    if hosts:
        extensions.append(x509.SubjectAlternativeName([_host(host) for host in hosts]))
    if issuer_address:
        address = x509.UniformResourceIdentifier("http://issuer.example/ca.der")
        access = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, address)
        extensions.append(x509.AuthorityInformationAccess([access]))
    if for_clients:
        extensions.append(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]))
    return extensions


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
