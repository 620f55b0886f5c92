"""A kubeconfig of iecpod's own: server, certificates and key, and nothing else that such a file can say."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

from iecpod.yaml.document import dump_yaml

#: The administrator's kubeconfig that kubeadm writes on a node of the control plane.
ADMIN_CONF = "/etc/kubernetes/admin.conf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The administrator's, each as PEM; the key is a secret."""

    ca_certificate: bytes
    client_certificate: bytes
    client_key: bytes = field(repr=False)


def render_kubeconfig(name: str, server: str, credentials: Credentials) -> str:
    """`name` is that of cluster and context."""
    user = f"{name}-admin"
    return dump_yaml(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": name,
                    "cluster": {
                        "server": server,
                        "certificate-authority-data": _encoded(credentials.ca_certificate),
                    },
                }
            ],
            "users": [
                {
                    "name": user,
                    "user": {
                        "client-certificate-data": _encoded(credentials.client_certificate),
                        "client-key-data": _encoded(credentials.client_key),
                    },
                }
            ],
            "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
            "current-context": name,
        }
    )


def _encoded(pem: bytes) -> str:
    return base64.b64encode(pem).decode()
