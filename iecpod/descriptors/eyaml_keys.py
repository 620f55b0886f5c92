"""hiera-eyaml's key pair: decrypts its PKCS#7 envelopes. Loaded only where keys are given: OpenSSL takes its time."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs7

from iecpod.descriptors.encrypted import Decrypt
from iecpod.errors import UsageError
from iecpod.files.reader import read_small

_MOST_BYTES = 1024 * 1024
_REMEDY = "give the pair that `eyaml createkeys` made: private_key.pkcs7.pem and public_key.pkcs7.pem"


def load_eyaml_keys(private_key: Path, public_key: Path) -> Decrypt:
    """What decrypts values that were encrypted for this pair. Raises `UsageError` for files that are no such pair."""
    try:
        key = load_pem_private_key(_read(private_key), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UsageError(f"{private_key} holds no private key in PEM without a passphrase", _REMEDY) from None
    try:
        certificate = x509.load_pem_x509_certificate(_read(public_key))
        certified = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise UsageError(f"{public_key} holds no certificate in PEM, which eyaml's public key is", _REMEDY) from None
    if not isinstance(key, RSAPrivateKey):
        raise UsageError(f"{private_key} is not an RSA key", _REMEDY)
    if key.public_key() != certified:
        raise UsageError(f"{private_key} and {public_key} do not belong together", _REMEDY)

    def decrypt(envelope: bytes) -> str:
        try:
            return pkcs7.pkcs7_decrypt_der(envelope, certificate, key, []).decode()
        except UnsupportedAlgorithm:
            raise ValueError("its cipher is not the AES-CBC with RSA that hiera-eyaml uses") from None
        except ValueError:
            # Of a foreign key, padding or text come out wrong: all certificates of eyaml have one subject and serial.
            raise ValueError("it is damaged, or was encrypted for another key") from None

    return decrypt


def _read(path: Path) -> bytes:
    try:
        return read_small(path, _MOST_BYTES)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", _REMEDY) from None
