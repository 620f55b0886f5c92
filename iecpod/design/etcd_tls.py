"""Certificates of an etcd that a pod network keeps its data in."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdTls:
    """Certificates and keys of the POD's own, each as PEM. The key of the authority is not kept."""

    authority: bytes
    server_certificate: bytes
    server_key: bytes = field(repr=False)
    client_certificate: bytes
    client_key: bytes = field(repr=False)
