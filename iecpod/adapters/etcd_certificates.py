"""Certificates of a POD's own for the etcd that Calico keeps its data in: one authority, one server, one client.

The authority's key signs twice and is forgotten, so there is no third. All are kept with the POD's keys, in one file.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from iecpod.design.etcd_tls import EtcdTls
from iecpod.errors import HostError
from iecpod.files.writer import PRIVATE, create_file

_NAME = "calico-etcd.pem"
_PEM = re.compile(rb"-----BEGIN ([A-Z ]+)-----\n.*?-----END \1-----\n", re.DOTALL)
#: A guest's clock may be behind that of this host.
_EARLIER = datetime.timedelta(days=1)
_LIFETIME = datetime.timedelta(days=3650)


def ensure_etcd_tls(directory: Path, addresses: Sequence[IPv4Address]) -> EtcdTls:
    """That of the directory, made if there is none. Raises `HostError`."""
    path = directory / _NAME
    try:
        if not path.exists():
            create_file(path, b"".join(_parts(make_etcd_tls(addresses))), PRIVATE)
        parts = [match.group(0) for match in _PEM.finditer(path.read_bytes())]
    except OSError as error:
        raise HostError(f"{path}: {error.strerror or error}", "check the owner and the permissions there") from error
    if len(parts) != 5:
        raise HostError(f"{path} does not hold three certificates and two keys", "redeploy the POD")
    authority, server_certificate, server_key, client_certificate, client_key = parts
    return EtcdTls(
        authority=authority,
        server_certificate=server_certificate,
        server_key=server_key,
        client_certificate=client_certificate,
        client_key=client_key,
    )


def make_etcd_tls(addresses: Sequence[IPv4Address]) -> EtcdTls:
    """For a server at these addresses."""
    authority_key, server_key, client_key = (generate_private_key(SECP256R1()) for _ in range(3))
    authority = _certificate("calico-etcd-ca", authority_key, "calico-etcd-ca", authority_key, None, ())
    # etcd asks itself as a client, with the server's certificate.
    both = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
    server = _certificate("calico-etcd", server_key, "calico-etcd-ca", authority_key, both, addresses)
    client_use = (ExtendedKeyUsageOID.CLIENT_AUTH,)
    client = _certificate("calico", client_key, "calico-etcd-ca", authority_key, client_use, ())
    return EtcdTls(
        authority=authority.public_bytes(Encoding.PEM),
        server_certificate=server.public_bytes(Encoding.PEM),
        server_key=_pem(server_key),
        client_certificate=client.public_bytes(Encoding.PEM),
        client_key=_pem(client_key),
    )


def _parts(tls: EtcdTls) -> tuple[bytes, ...]:
    return tls.authority, tls.server_certificate, tls.server_key, tls.client_certificate, tls.client_key


def _certificate(
    name: str,
    key: EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: EllipticCurvePrivateKey,
    usages: Sequence[x509.ObjectIdentifier] | None,
    addresses: Sequence[IPv4Address],
) -> x509.Certificate:
    """That of an authority where there are no `usages`."""
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.BasicConstraints(ca=usages is None, path_length=None), critical=True)
    )
    if usages is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    if addresses:
        names = x509.SubjectAlternativeName([x509.IPAddress(address) for address in addresses])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(key: EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
