"""The certificates of Calico's etcd: their chains, where they are kept, and that the keys are not shown."""

from __future__ import annotations

import datetime
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from iecpod.adapters.etcd_certificates import ensure_etcd_tls, make_etcd_tls
from iecpod.cni.calico import Autodetection, CalicoSettings, patch_calico_manifest
from iecpod.design.cluster import DesiredCluster
from iecpod.errors import HostError
from tests.unit.cni.calico_of_the_iec import MANIFESTS

ADDRESSES = (IPv4Address("172.16.1.136"), IPv4Address("172.16.10.36"))


def usages(certificate: x509.Certificate) -> set[x509.ObjectIdentifier]:
    return set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def test_one_authority_signs_one_server_and_one_client() -> None:
    tls = make_etcd_tls(ADDRESSES)
    authority, server, client = (
        x509.load_pem_x509_certificate(pem) for pem in (tls.authority, tls.server_certificate, tls.client_certificate)
    )
    for certificate, key in ((server, tls.server_key), (client, tls.client_key)):
        certificate.verify_directly_issued_by(authority)
        assert load_pem_private_key(key, None).public_key() == certificate.public_key()
        assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.timezone.utc)
        assert datetime.timedelta(days=3600) < left
    assert authority.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.IPAddress) == list(ADDRESSES)
    assert usages(client) == {ExtendedKeyUsageOID.CLIENT_AUTH}
    assert usages(server) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}


def test_they_are_made_once_for_their_owner_only(tmp_path: Path) -> None:
    first = ensure_etcd_tls(tmp_path, ADDRESSES)
    assert ensure_etcd_tls(tmp_path, ADDRESSES) == first
    (path,) = tmp_path.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert first != make_etcd_tls(ADDRESSES)
    path.write_bytes(path.read_bytes().partition(b"-----END EC")[0])
    with pytest.raises(HostError, match="does not hold three certificates and two keys"):
        ensure_etcd_tls(tmp_path, ADDRESSES)


def test_no_key_is_in_what_people_are_shown(cluster: DesiredCluster) -> None:
    tls = make_etcd_tls(ADDRESSES)
    calico = CalicoSettings(autodetection=Autodetection.INTERFACE, own_etcd=True)
    patched = patch_calico_manifest(MANIFESTS, cluster, calico, lambda: tls)
    assert "PRIVATE" not in repr(tls)
    shown = "\n".join(patched.changes)
    assert "PRIVATE" not in shown and "LS0tLS1CRUdJTi" not in shown and "LS0tLS1CRUdJTi" in patched.text
