"""What the first node says of the cluster's administrator, believed as far as it proves itself.

A kubeconfig may name programs to run, proxies, files and servers (`exec`, `auth-provider`, `proxy-url`, `tokenFile`):
nothing of a node's own is used on this host but certificates and a key, each written again from what was parsed.
"""

from __future__ import annotations

import base64
import binascii
import warnings
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.utils import CryptographyDeprecationWarning

from iecpod.errors import DescriptorError, NodeError
from iecpod.render.kubeconfig import Credentials
from iecpod.yaml.document import load_yaml

#: An admin.conf of kubeadm's has 6 kB, and 9 kB with RSA keys of 4096 bits.
_MOST_BYTES = 64 * 1024
#: Of a certificate or key as PEM; checking a larger RSA key takes minutes.
_MOST_PEM_BYTES = 8 * 1024

_Key = RSAPrivateKey | EllipticCurvePrivateKey


class _Unfit(Exception):
    """What is wrong, as words that continue the name of the file."""


def read_credentials(node: str, file: str, text: bytes, server: str) -> Credentials:
    """Of a kubeconfig with one cluster and one user, as kubeadm writes it.

    Raises `NodeError` where it is another, names another server than `server`, or its parts do not prove each other.
    """
    try:
        return _read(text, file, server)
    except _Unfit as unfit:
        raise NodeError(
            node,
            f"{file} {unfit}",
            "the node was changed since it was deployed, or is another than it should be: look at that file with "
            "`iecpod ssh`, and redeploy the POD where you cannot explain it",
        ) from unfit


def _read(text: bytes, file: str, server: str) -> Credentials:
    if len(text) > _MOST_BYTES:
        raise _Unfit(f"has more than {_MOST_BYTES} bytes")
    try:
        data = load_yaml(text, file).data
    except DescriptorError as error:
        raise _Unfit("is not YAML") from error
    cluster, user = _only(data, "clusters", "cluster"), _only(data, "users", "user")
    if cluster.get("server") != server:
        raise _Unfit(f"does not name the API server {server}")
    ca = _certificate(cluster, "certificate-authority-data")
    client = _certificate(user, "client-certificate-data")
    key = _private_key(user, "client-key-data")
    if _public(key) != _public(client):
        raise _Unfit("has a client-key-data that does not belong to its client-certificate-data")
    try:
        client.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
        raise _Unfit("has a client-certificate-data that its certificate-authority-data has not signed") from error
    return Credentials(
        ca_certificate=ca.public_bytes(Encoding.PEM),
        client_certificate=client.public_bytes(Encoding.PEM),
        client_key=key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
    )


def _only(data: object, listed: str, name: str) -> dict[str, Any]:
    entries = data.get(listed) if isinstance(data, dict) else None
    if not isinstance(entries, list) or len(entries) != 1:
        raise _Unfit(f"does not have one entry in {listed}")
    (entry,) = entries
    value = entry.get(name) if isinstance(entry, dict) else None
    if not isinstance(value, dict):
        raise _Unfit(f"has no {name} in {listed}")
    return value


def _pem(values: dict[str, Any], name: str) -> bytes:
    encoded = values.get(name)
    try:
        if isinstance(encoded, str) and 0 < len(encoded) <= _MOST_PEM_BYTES * 4 // 3:
            return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        pass
    raise _Unfit(f"has no base64 of a usual length as {name}")


def _certificate(values: dict[str, Any], name: str) -> x509.Certificate:
    try:
        with warnings.catch_warnings():
            # kubeadm gave its CA the serial number 0 for many versions, which RFC 5280 forbids.
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)
            found = x509.load_pem_x509_certificates(_pem(values, name))
            found[0].public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _Unfit(f"has no certificate as {name}") from error
    if len(found) != 1:
        raise _Unfit(f"has {len(found)} certificates as {name}, not one")
    return found[0]


def _private_key(values: dict[str, Any], name: str) -> _Key:
    try:
        key = load_pem_private_key(_pem(values, name), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _Unfit(f"has no private key as {name}") from error
    if not isinstance(key, (RSAPrivateKey, EllipticCurvePrivateKey)):
        raise _Unfit(f"has a private key of another kind than RSA or EC as {name}")
    return key


def _public(of: _Key | x509.Certificate) -> bytes:
    return of.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
