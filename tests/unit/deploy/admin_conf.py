"""A kubeconfig of kubeadm's as a node has it, with certificates that are made for the test."""

from __future__ import annotations

import base64
import datetime
import functools
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from iecpod.render.kubeconfig import Credentials
from iecpod.yaml.document import dump_yaml

SERVER = "https://172.16.10.36:6443"
_NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)


@dataclass(frozen=True)
class Authority:
    name: str
    key: EllipticCurvePrivateKey
    certificate: x509.Certificate

    def issue(self, key: EllipticCurvePrivateKey, name: str = "kubernetes-admin") -> x509.Certificate:
        return _certificate(name, key, self.name, self.key)


def new_key() -> EllipticCurvePrivateKey:
    return generate_private_key(SECP256R1())


@functools.cache
def authority(name: str = "kubernetes") -> Authority:
    key = new_key()
    return Authority(name, key, _certificate(name, key, name, key))


@functools.cache
def admin() -> tuple[EllipticCurvePrivateKey, x509.Certificate]:
    key = new_key()
    return key, authority().issue(key)


def pem(of: EllipticCurvePrivateKey | x509.Certificate) -> bytes:
    if isinstance(of, x509.Certificate):
        return of.public_bytes(Encoding.PEM)
    return of.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def encoded(of: EllipticCurvePrivateKey | x509.Certificate) -> str:
    """PEM in base64, as kubeconfigs have it."""
    return base64.b64encode(pem(of)).decode()


def credentials(ca: Authority | None = None) -> Credentials:
    """The administrator's, who trusts `ca`."""
    key, certificate = admin()
    return Credentials(
        ca_certificate=pem((ca or authority()).certificate), client_certificate=pem(certificate), client_key=pem(key)
    )


def server_pair(address: str) -> tuple[bytes, bytes]:
    """Key and certificate of an API server at that address, as PEM."""
    key, ca = new_key(), authority()
    return pem(key), pem(_certificate("kube-apiserver", key, ca.name, ca.key, (ip_address(address),)))


def config() -> dict[str, Any]:
    """In kubeadm's words; the caller may change it."""
    key, certificate = admin()
    cluster = {"server": SERVER, "certificate-authority-data": encoded(authority().certificate)}
    user = {"client-certificate-data": encoded(certificate), "client-key-data": encoded(key)}
    context = {"cluster": "local-virtual1", "user": "kubernetes-admin"}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "local-virtual1", "cluster": cluster}],
        "users": [{"name": "kubernetes-admin", "user": user}],
        "contexts": [{"name": "kubernetes-admin@local-virtual1", "context": context}],
        "current-context": "kubernetes-admin@local-virtual1",
        "preferences": {},
    }


def admin_conf() -> bytes:
    return dump_yaml(config()).encode()


def _certificate(
    name: str,
    key: EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: EllipticCurvePrivateKey,
    addresses: tuple[IPv4Address | IPv6Address, ...] = (),
) -> x509.Certificate:
    names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:masters")] if name == "kubernetes-admin" else []
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([*names, x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOW)
        .not_valid_after(_NOW + datetime.timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=name == issuer, path_length=None), critical=True)
    )
    if addresses:
        alternatives = x509.SubjectAlternativeName([x509.IPAddress(address) for address in addresses])
        builder = builder.add_extension(alternatives, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())
