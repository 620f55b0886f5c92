"""Bootstrap tokens: made for one use, short-lived, never in an argument list or a log.

Source: Kubernetes, "Authenticating with Bootstrap Tokens": `[a-z0-9]{6}.[a-z0-9]{16}`, kept as a Secret.
"""

from __future__ import annotations

import hashlib
import secrets
import string
import time
from collections.abc import Iterator
from contextlib import contextmanager

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from iecpod.deploy.kubectl.kubectl import KUBE_SYSTEM, Kubectl
from iecpod.deploy.node.clean_up import cleaned_up
from iecpod.units import format_utc

_ALPHABET = string.ascii_lowercase + string.digits


def make_token() -> str:
    def draw(length: int) -> str:
        return "".join(secrets.choice(_ALPHABET) for _ in range(length))

    return f"{draw(6)}.{draw(16)}"


@contextmanager
def registered_token(kubectl: Kubectl, lifetime_seconds: float) -> Iterator[str]:
    """A token that the API server knows for as long as the block runs, and at most for its lifetime."""
    token = make_token()
    identifier, secret = token.split(".")
    name = f"bootstrap-token-{identifier}"
    manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "bootstrap.kubernetes.io/token",
        "metadata": {"name": name, "namespace": "kube-system"},
        "stringData": {
            "token-id": identifier,
            "token-secret": secret,
            "expiration": format_utc(time.time() + lifetime_seconds),
            "usage-bootstrap-authentication": "true",
            "usage-bootstrap-signing": "true",
            "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
        },
    }
    # `create`, not `apply`: apply may keep the secret a second time, in an annotation.
    kubectl.create(manifest)
    path = f"/api/v1/{KUBE_SYSTEM}/secrets/{name}"
    with cleaned_up(lambda seconds: kubectl.discard(path, timeout_seconds=seconds)):
        yield token


def ca_cert_hash(public_key_pem: bytes) -> str:
    """kubeadm's pin of a CA: SHA-256 over the DER form of its public key (RFC 7469).

    Of the key and not of the certificate, since kubeadm gives its CA the serial number 0, which RFC 5280 forbids.
    Raises `ValueError` for what is no public key.
    """
    try:
        key = load_pem_public_key(public_key_pem)
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from error
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return "sha256:" + hashlib.sha256(der).hexdigest()
