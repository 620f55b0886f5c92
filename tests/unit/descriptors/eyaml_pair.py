"""A key pair of hiera-eyaml, made on the spot, and what is encrypted with it."""

from __future__ import annotations

import base64
import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs7

from iecpod.descriptors.eyaml_keys import load_eyaml_keys


class Pair:
    """An RSA key and its certificate as `eyaml createkeys` makes them: no subject, serial number 1."""

    def __init__(self, directory: Path, name: str) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        builder = x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(x509.Name([])).serial_number(1)
        builder = builder.not_valid_before(datetime.datetime(2020, 1, 1)).not_valid_after(datetime.datetime(2070, 1, 1))
        self._certificate = builder.public_key(key.public_key()).sign(key, hashes.SHA256())
        self.private_file, self.public_file = directory / f"{name}.private.pem", directory / f"{name}.public.pem"
        self.private_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
        self.public_file.write_bytes(self._certificate.public_bytes(Encoding.PEM))
        self.decrypt = load_eyaml_keys(self.private_file, self.public_file)

    def envelope(self, text: str | bytes) -> bytes:
        data = text if isinstance(text, bytes) else text.encode()
        builder = pkcs7.PKCS7EnvelopeBuilder().set_data(data).add_recipient(self._certificate)
        builder = builder.set_content_encryption_algorithm(algorithms.AES256)
        return builder.encrypt(Encoding.DER, [pkcs7.PKCS7Options.Binary])

    def encrypt(self, text: str | bytes) -> str:
        return wrap(self.envelope(text))


def wrap(envelope: bytes) -> str:
    return f"ENC[PKCS7,{base64.b64encode(envelope).decode()}]"
